#include "runtime/engine/program.h"

#include <doctest/doctest.h>

#include "runtime/engine/session.h"
#include "tests/support/runtime_testing.h"

namespace atrous::program_test {

using namespace atrous::runtime_testing;

namespace {

std::shared_ptr<const float> drawn(std::int64_t count, std::uint32_t seed) {
  auto tensor = std::make_shared<Tensor>(noise({1, 1, 1, count}, seed));
  return {tensor, tensor->data()};
}

// relu(norm(conv(x))) run `times` times, each on the output of the one before.
Graph chain(const Conv2d& conv, const BatchNorm& norm, int times) {
  Graph g;
  g.values.assign(static_cast<std::size_t>(3 * times + 1), {4});
  g.input = 0;
  for (ValueId v = 0; v < 3 * times; v += 3) {
    g.nodes.push_back({"conv", conv, {v}, v + 1});
    g.nodes.push_back({"norm", norm, {v + 1}, v + 2});
    g.nodes.push_back({"relu", Activation{}, {v + 2}, v + 3});
  }
  g.outputs = {{"out", 3 * times}};
  return g;
}

}  // namespace

TEST_CASE(
    "a layer that runs several times is packed once, with its batch norm in it, and computes the same") {
  const Conv2d conv{.weight = {4, 4, 3, 3, drawn(4 * 4 * 9, 3)}, .bias = nullptr, .padding = 1};
  const BatchNorm norm{{0.5, 1, 2, 0.25}, {0, 1, -1, 0.5}};
  const Tensor input = noise({1, 6, 5, 4}, 9);
  for (const bool shared : {true, false}) {
    Graph graph = chain(conv, norm, 3);
    if (!shared)  // the same numbers, each node with its own
      for (Node& node : graph.nodes)
        if (auto* c = std::get_if<Conv2d>(&node.layer)) c->weight.data = drawn(4 * 4 * 9, 3);
    const auto once = compile(chain(conv, norm, 1), {}).packed_bytes();
    const auto program = std::make_shared<const Program>(compile(std::move(graph), {}));
    const std::vector<Node>& nodes = program->graph.nodes;
    REQUIRE(nodes.size() == 3);
    CHECK(program->packed_bytes() == (shared ? once : 3 * once));
    CHECK((nodes[0].kernels == nodes[2].kernels) == shared);

    const Graph plain = chain(conv, norm, 3);
    std::vector<Tensor> made;
    made.push_back(noise({1, 6, 5, 4}, 9));
    for (const Node& node : plain.nodes) {
      Tensor out(made.back().shape());
      const ConstView in[] = {made.back().view()};
      run_reference(node.layer, in, out.view());
      made.push_back(std::move(out));
    }
    Session session(program);
    session.run(input.view());
    const ConstView found = session.output();
    float largest = 0, off = 0;
    for (std::int64_t p = 0; p < 30; ++p)
      for (std::int64_t c = 0; c < 4; ++c) {
        const float expected = made.back().data()[p * 4 + c];
        largest = std::max(largest, std::abs(expected));
        off = std::max(off, std::abs(expected - found.data[p * found.pitch + c]));
      }
    CHECK(off <= 1e-5f * largest);
  }
}

}  // namespace atrous::program_test
