#include "layers/graph/graph.h"

#include <doctest/doctest.h>

#include "tests/support/layers_testing.h"

namespace atrous::graph_test {

namespace {

Conv2d conv(std::int64_t out, std::int64_t in, std::int64_t kernel, std::int64_t stride = 1) {
  Random random(1);
  const auto weight = drawn(out * in * kernel * kernel, random, Draw::whole);
  return {
      .weight = {out, in, kernel, kernel, weight}, .bias = nullptr, .stride = stride, .padding = kernel / 2};
}

// in -> stem (stride 2) -> relu -> {branch, pool -> resize to branch} -> join (concat)
Graph small_graph() {
  Graph g;
  g.values = {{3}, {4}, {4}, {5}, {4}, {4}, {9}};
  g.input = 0;
  g.nodes = {{"stem", conv(4, 3, 3, 2), {0}, 1},   {"stem.relu", Activation{ActivationKind::relu}, {1}, 2},
             {"branch", conv(5, 4, 1), {2}, 3},    {"pool", AdaptiveAvgPool2d{1, 1}, {2}, 4},
             {"pool.resize", Resize{}, {4, 3}, 5}, {"join", Concat{}, {3, 5}, 6}};
  g.outputs = {{"out", 6}, {"aux", 2}};
  return g;
}

}  // namespace

TEST_CASE("shapes are inferred for any size of input") {
  const Graph g = small_graph();
  CHECK(
      infer_shapes(g, {2, 9, 13, 3}) ==
      std::vector<Shape>{
          {2, 9, 13, 3}, {2, 5, 7, 4}, {2, 5, 7, 4}, {2, 5, 7, 5}, {2, 1, 1, 4}, {2, 5, 7, 4}, {2, 5, 7, 9}});
  CHECK(infer_shapes(g, {1, 1, 1, 3}).back() == Shape{1, 1, 1, 9});
}

TEST_CASE("what does not fit is an error that names the node") {
  Graph g = small_graph();
  CHECK(contains(error_of(ErrorCode::invalid_argument, [&] { infer_shapes(g, {1, 8, 8, 4}); }), "stem: "));
  CHECK(error_of(ErrorCode::limit, [&] { infer_shapes(g, {1, 0, 8, 3}); }) != "");

  g.nodes[5].inputs = {3, 4};  // concat of 5x7 and 1x1
  CHECK(contains(error_of(ErrorCode::invalid_argument, [&] { infer_shapes(g, {1, 8, 8, 3}); }), "join: "));

  g = small_graph();
  g.nodes[3].layer = AdaptiveAvgPool2d{std::int64_t{1} << 40, std::int64_t{1} << 40};
  CHECK(contains(error_of(ErrorCode::limit, [&] { infer_shapes(g, {1, 8, 8, 3}); }), "pool: "));

  g = small_graph();
  g.nodes[1].layer = BatchNorm{{1, 1, 1}, {0, 0, 0}};
  const auto norm = error_of(ErrorCode::invalid_argument, [&] { infer_shapes(g, {1, 8, 8, 3}); });
  CHECK(contains(norm, "stem.relu: "));
  CHECK(contains(norm, "expected 3 channels, found 4"));
}

TEST_CASE("a convolution's second input is a residual of the output's shape") {
  const Layer layer = conv(4, 3, 3, 2);
  const Shape fits[] = {{1, 8, 8, 3}, {1, 4, 4, 4}}, too_large[] = {{1, 8, 8, 3}, {1, 8, 8, 4}};
  CHECK(output_shape(layer, fits) == Shape{1, 4, 4, 4});
  const auto sentence = error_of(ErrorCode::invalid_argument, [&] { output_shape(layer, too_large); });
  CHECK(contains(sentence, "[1, 4, 4, 4]"));
  CHECK(contains(sentence, "[1, 8, 8, 4]"));
}

TEST_CASE("readers of a value are the nodes that read it, and the graph's outputs") {
  CHECK(count_readers(small_graph()) == std::vector<int>{1, 1, 3, 2, 1, 1, 1});
}

TEST_CASE("only layers with weights have a cost") {
  const Graph g = small_graph();
  const auto shapes = infer_shapes(g, {2, 9, 13, 3});
  std::vector<std::int64_t> costs;
  for (const Node& node : g.nodes) costs.push_back(macs(node, shapes));
  CHECK(costs == std::vector<std::int64_t>{2 * 5 * 7 * 4 * 3 * 9, 0, 2 * 5 * 7 * 5 * 4, 0, 0, 0});
}

TEST_CASE("every kind of layer has its name") {
  CHECK(name_of(Layer(Conv2d{})) == "conv2d");
  CHECK(name_of(Layer(ConvTranspose2d{})) == "conv_transpose2d");
  CHECK(name_of(Layer(BatchNorm{})) == "batch_norm");
  CHECK(name_of(Layer(Activation{})) == "activation");
  CHECK(name_of(Layer(MaxPool2d{})) == "max_pool2d");
  CHECK(name_of(Layer(AdaptiveAvgPool2d{})) == "adaptive_avg_pool2d");
  CHECK(name_of(Layer(Resize{})) == "resize");
  CHECK(name_of(Layer(Concat{})) == "concat");
  CHECK(name_of(Layer(Add{})) == "add");
  CHECK(name_of(Layer(Mul{})) == "mul");
  CHECK(name_of(Layer(Softmax{})) == "softmax");
  CHECK(name_of(Layer(GroupNorm{})) == "group_norm");
  CHECK(name_of(Layer(PositionAttention{})) == "position_attention");
}

TEST_CASE("run_reference adds a convolution's second input") {
  const Conv2d identity{.weight = {1, 1, 1, 1, std::make_shared<const float>(1.f)}, .bias = nullptr};
  const Tensor a = tensor_of({1, 1, 2, 1}, {1, 2}), b = tensor_of({1, 1, 2, 1}, {10, 20});
  Tensor out({1, 1, 2, 1});
  const ConstView one[] = {a.view()}, two[] = {a.view(), b.view()};
  run_reference(identity, one, out.view());
  CHECK(difference(out.view(), a.view()) == "");
  run_reference(identity, two, out.view());
  CHECK(difference(out.view(), tensor_of({1, 1, 2, 1}, {11, 22}).view()) == "");
}

}  // namespace atrous::graph_test
