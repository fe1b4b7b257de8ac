// Passes over quantised weights and maps in 8 bits.
#include "runtime/engine/passes.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/support/passes_testing.h"

namespace atrous::int8_passes_test {

using namespace atrous::passes_testing;

namespace {

// A convolution whose weights are numbers of steps of 1 / 64.
Conv2d quantised_conv(std::int64_t out, std::int64_t in, std::int64_t kernel, std::uint32_t seed,
                      std::int64_t groups = 1) {
  Conv2d layer = conv(out, in / groups, kernel, seed);
  layer.groups = groups;
  Filter& w = layer.weight;
  const std::int64_t count = w.elements();
  std::shared_ptr<std::int8_t[]> steps(new std::int8_t[static_cast<std::size_t>(count)]);
  for (std::int64_t i = 0; i < count; ++i)
    steps[i] = static_cast<std::int8_t>(std::clamp(std::nearbyint(w.data.get()[i] * 40), -127.f, 127.f));
  std::shared_ptr<float[]> scale(new float[static_cast<std::size_t>(out)]);
  std::fill_n(scale.get(), out, 1.f / 64);
  w.data = nullptr;
  w.quantised = {steps, steps.get()};
  w.scale = {scale, scale.get()};
  return layer;
}

DType dtype_of_value(const Graph& graph, ValueId v) {
  return graph.values[static_cast<std::size_t>(v)].dtype;
}

}  // namespace

TEST_CASE("quantised weights take a batch norm in their scales") {
  Graph g = chain({{"conv", quantised_conv(4, 4, 3, 1), {0}, -1}, {"norm", norm(4), {1}, -1}}, {2});
  dequantise_others(g);  // for the references
  Graph folded = chain({{"conv", quantised_conv(4, 4, 3, 1), {0}, -1}, {"norm", norm(4), {1}, -1}}, {2});
  fold_batch_norm(folded);
  REQUIRE(folded.nodes.size() == 1);
  CHECK(conv_of(folded, 0).weight.quantised);
  CHECK_FALSE(conv_of(folded, 0).weight.data);
  dequantise_others(folded);
  CHECK_FALSE(conv_of(folded, 0).weight.quantised);
  const Tensor input = noise({2, 5, 7, 4}, 9);
  CHECK(deviation(by_references(folded, input), by_references(g, input)) <= 1e-6);
}

TEST_CASE("maps between convolutions with ranges are in 8 bits, with one range where values only move") {
  //   0 -> first -> 1 -> pool -> 2 -> middle -> 3 -> last -> 4 (out)
  //                      2, 3 -> concat -> 5 -> after -> 6 (out)
  Graph g = chain({{"first", conv(4, 4, 3, 1), {0}, -1},
                   {"pool", MaxPool2d{.kernel = 2, .stride = 1, .padding = 0}, {1}, -1},
                   {"middle", quantised_conv(4, 4, 1, 3), {2}, -1},
                   {"last", quantised_conv(4, 4, 1, 4), {3}, -1},
                   {"concat", Concat{}, {2, 3}, -1},
                   {"after", quantised_conv(4, 8, 1, 5), {5}, -1}},
                  {4, 6});
  g.values[5].channels = 8;
  for (std::size_t v = 1; v < g.values.size(); ++v) g.values[v].range = ValueRange{0, static_cast<float>(v)};
  choose_int8(g);
  for (const ValueId v : {1, 2, 3, 5}) {
    CAPTURE(v);
    CHECK(dtype_of_value(g, v) == DType::u8);
    CHECK(g.values[static_cast<std::size_t>(v)].quantisation == quantisation_of({0, 5}));
  }
  for (const ValueId v : {0, 4, 6}) CHECK(dtype_of_value(g, v) == DType::f32);
  dequantise_others(g);
  for (const std::size_t node : {2U, 3U, 5U}) CHECK(conv_of(g, node).weight.quantised);
}

TEST_CASE(
    "in 8 bits nothing is a map that no quantised layer reads, that has no range, or that is one pixel") {
  const auto chosen = [](std::vector<Node> nodes, std::vector<ValueId> outputs, std::set<ValueId> ranges) {
    Graph g = chain(std::move(nodes), std::move(outputs));
    for (const ValueId v : ranges) g.values[static_cast<std::size_t>(v)].range = ValueRange{-1, 1};
    choose_int8(g);
    dequantise_others(g);
    return g;
  };
  SUBCASE("read by a layer of floats alone") {
    const Graph g =
        chosen({{"a", quantised_conv(4, 4, 1, 1), {0}, -1}, {"b", conv(4, 4, 1, 2), {1}, -1}}, {2}, {1, 2});
    CHECK(dtype_of_value(g, 1) == DType::f32);
    CHECK(conv_of(g, 0).weight.data);  // its input, the network's, is in fp32
  }
  SUBCASE("without a range") {
    const Graph g =
        chosen({{"a", conv(4, 4, 1, 1), {0}, -1}, {"b", quantised_conv(4, 4, 1, 2), {1}, -1}}, {2}, {});
    CHECK(dtype_of_value(g, 1) == DType::f32);
    CHECK(conv_of(g, 1).weight.data);
  }
  SUBCASE("made of means") {
    const Graph g = chosen({{"mean", AdaptiveAvgPool2d{.out_h = 1, .out_w = 1}, {0}, -1},
                            {"a", conv(4, 4, 1, 1), {1}, -1},
                            {"b", quantised_conv(4, 4, 1, 2), {2}, -1}},
                           {3}, {1, 2});
    for (const ValueId v : {1, 2}) CHECK(dtype_of_value(g, v) == DType::f32);
  }
  SUBCASE("a sigmoid's sums, and groups of other than multiples of four channels") {
    Conv2d sigmoid = quantised_conv(4, 4, 1, 2);
    sigmoid.activation = ActivationKind::sigmoid;
    for (const Conv2d& layer : {sigmoid, quantised_conv(4, 4, 3, 2, 2)}) {
      const Graph g = chosen({{"a", conv(4, 4, 1, 1), {0}, -1}, {"b", layer, {1}, -1}}, {2}, {1});
      CHECK(dtype_of_value(g, 1) == DType::f32);
    }
  }
  SUBCASE("but what stays in fp32 and has a range is quantised by those that read it, the input apart") {
    const Graph g = chosen({{"a", quantised_conv(4, 4, 1, 1), {0}, -1},
                            {"scaled", Scale{2}, {1}, -1},
                            {"b", quantised_conv(64, 4, 1, 2), {2}, -1},
                            {"depthwise", quantised_conv(4, 4, 3, 2, 4), {2}, -1},
                            {"scaled again", Scale{2}, {2}, -1},
                            {"few", quantised_conv(63, 4, 1, 2), {5}, -1}},
                           {3, 4, 6}, {0, 1, 2, 5});
    for (const ValueId v : {0, 1, 2, 3, 4, 5, 6}) CHECK(dtype_of_value(g, v) == DType::f32);
    CHECK(g.values[2].quantisation == quantisation_of({-1, 1}));
    for (const std::size_t v : {0U, 1U, 5U}) CHECK(g.values[v].quantisation == Quantisation{});
    CHECK(conv_of(g, 0).weight.data);
    CHECK(conv_of(g, 2).weight.quantised);
    for (const std::size_t node : {3U, 5U}) CHECK(conv_of(g, node).weight.data);
  }
  SUBCASE("of the depthwise, though, and of a gate of one pixel") {
    const Graph g = chosen({{"a", conv(4, 4, 1, 1), {0}, -1},
                            {"depthwise", quantised_conv(4, 4, 3, 2, 4), {1}, -1},
                            {"mean", AdaptiveAvgPool2d{.out_h = 1, .out_w = 1}, {2}, -1},
                            {"gated", Mul{}, {2, 3}, -1},
                            {"b", quantised_conv(4, 4, 1, 3), {4}, -1}},
                           {5}, {1, 2, 4});
    for (const ValueId v : {1, 2, 4}) CHECK(dtype_of_value(g, v) == DType::u8);
    CHECK(dtype_of_value(g, 3) == DType::f32);
  }
}

namespace {

constexpr float divisors[] = {0.25f, 1, 0.5f, 2};

// A convolution, and a quantised one that wants what the first makes divided.
Graph divided(ActivationKind activation, bool quantised_before, bool depthwise, float highest,
              std::vector<ValueId> outputs = {2}) {
  Conv2d before = quantised_before ? quantised_conv(4, 4, 3, 1) : conv(4, 4, 3, 1, true);
  before.activation = activation;
  Conv2d reader = quantised_conv(4, 4, 3, 2, depthwise ? 4 : 1);
  reader.weight.equalisation = {std::shared_ptr<void>(), divisors};
  Graph g = chain({{"before", before, {0}, -1}, {"reader", reader, {1}, -1}}, std::move(outputs));
  g.values[1].range = ValueRange{activation == ActivationKind::none ? -1.f : 0.f, highest};
  return g;
}

// Its layers in floats.
std::vector<float> in_floats(Graph g, const Tensor& input) {
  for (Value& value : g.values) value.dtype = DType::f32;
  dequantise_others(g);
  fold_batch_norm(g);  // which brings factors in
  return by_references(g, input);
}

}  // namespace

TEST_CASE("channels are divided between convolutions in 8 bits, and the network stays the same") {
  const Tensor input = noise({1, 6, 5, 4}, 3);
  for (const ActivationKind activation : {ActivationKind::none, ActivationKind::relu})
    for (const bool quantised_before : {false, true})
      for (const bool depthwise : {false, true}) {
        CAPTURE(name_of(activation));
        CAPTURE(quantised_before);
        CAPTURE(depthwise);
        Graph g = divided(activation, quantised_before, depthwise, 5);
        const std::vector<float> before = in_floats(g, input);
        choose_int8(g);
        CHECK(dtype_of_value(g, 1) == DType::u8);
        equalise(g);
        CHECK_FALSE(conv_of(g, 1).weight.equalisation);
        CHECK(conv_of(g, 1).weight.quantised);
        CHECK(deviation(in_floats(g, input), before) <= 1e-6);
        // What lies between is.
        Graph plain = divided(activation, quantised_before, depthwise, 5);
        for (Graph* cut : {&g, &plain}) {
          cut->nodes.pop_back();
          cut->outputs[0].second = 1;
        }
        const std::vector<float> made = in_floats(g, input), undivided = in_floats(plain, input);
        for (std::size_t i = 0; i < made.size(); ++i)
          CHECK(made[i] == doctest::Approx(undivided[i] / divisors[i % 4]).epsilon(1e-5));
      }
}

TEST_CASE("channels are divided before a relu6 if that limits none of them within the range") {
  for (const float highest : {2.9f, 3.1f}) {
    Graph g = divided(ActivationKind::relu6, true, true, highest);
    choose_int8(g);
    equalise(g);
    CHECK((dtype_of_value(g, 1) == DType::u8) == (highest < 3));
    CHECK(!conv_of(g, 1).weight.equalisation == (highest < 3));
  }
}

TEST_CASE("where channels cannot be divided, the reader's weights are the floats that they stand for") {
  const Tensor input = noise({1, 6, 5, 4}, 3);
  Graph graphs[] = {divided(ActivationKind::hardswish, true, true, 5),
                    divided(ActivationKind::relu, true, false, 5, {2, 1}),
                    divided(ActivationKind::relu, true, false, 5)};
  graphs[2].values[1].range.reset();
  for (Graph& g : graphs) {
    const std::vector<float> before = in_floats(g, input);
    choose_int8(g);
    equalise(g);
    CHECK(dtype_of_value(g, 1) == DType::f32);
    dequantise_others(g);
    const Filter& w = conv_of(g, 1).weight;
    REQUIRE(w.data);
    CHECK_FALSE(w.equalisation);
    CHECK(in_floats(g, input) == before);
  }
  // A residual is not divided.
  Graph g = divided(ActivationKind::relu, true, false, 5);
  g.nodes[0].inputs.push_back(0);
  CHECK_FALSE(divider(g, g.nodes[1]));
}

TEST_CASE("what has quantised weights is not fused for the processor") {
  Graph g = chain({{"expand", quantised_conv(4, 4, 1, 1), {0}, -1},
                   {"depthwise", quantised_conv(4, 4, 3, 2, 4), {1}, -1}},
                  {2});
  fuse_for_processor(g, false);
  CHECK(names(g) == Names{"expand", "depthwise"});
}

}  // namespace atrous::int8_passes_test
