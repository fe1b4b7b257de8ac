// ResNet's stages: what strides and dilations make of the values.
#include "layers/networks/backbones/resnet.h"

#include <doctest/doctest.h>

#include "tests/support/runtime_testing.h"

namespace atrous::resnet_test {

using namespace atrous::runtime_testing;

namespace {

// The last map of a ResNet of two blocks a stage, every layer by its reference.
Tensor last_map(const StateDict& state, std::int64_t output_stride, const Tensor& input) {
  Builder builder(state);
  const Module backbone = Module(builder)["backbone"];
  const ResnetFeatures features = resnet(backbone, graph_input(builder, 3), resnet_of(state, "backbone"),
                                         torchvision_spacings(output_stride));
  REQUIRE(builder.report.missing.empty());
  const Graph& graph = builder.graph;
  const auto shapes = infer_shapes(graph, input.shape());
  std::vector<Tensor> made(graph.values.size());
  const auto at = [](ValueId v) { return static_cast<std::size_t>(v); };
  for (const Node& node : graph.nodes) {
    std::vector<ConstView> inputs;
    for (const ValueId v : node.inputs)
      inputs.push_back(v == graph.input ? ConstView(input.view()) : ConstView(made[at(v)].view()));
    made[at(node.output)] = Tensor(shapes[at(node.output)]);
    run_reference(node.layer, inputs, made[at(node.output)].view());
  }
  return std::move(made[at(features.layers[3].id)]);
}

}  // namespace

// Chen et al. 2017, "Rethinking Atrous Convolution", section 3.1: atrous convolution gives denser maps
// without weights being learnt anew. The values of the coarse map are among those of the dense one, the same
// to the bit.
TEST_CASE("where dilation replaces strides every second or fourth value is the strided network's") {
  const StateDict state = seeded_state("fcn_resnet(2,2,2,2)", {.classes = 3, .width = 4});
  const Tensor input = noise({1, 97, 65, 3}, 5);  // 8 * k + 1, so that every stride ends with the map
  const Tensor coarse = last_map(state, 32, input);
  REQUIRE(coarse.shape() == Shape{1, 4, 3, 128});
  for (const std::int64_t output_stride : {16, 8}) {
    CAPTURE(output_stride);
    const Tensor dense = last_map(state, output_stride, input);
    const std::int64_t step = 32 / output_stride;
    REQUIRE(dense.shape() == Shape{1, 3 * step + 1, 2 * step + 1, 128});
    std::int64_t different = 0, zeros = 0;
    for (std::int64_t y = 0; y < coarse.shape().h; ++y)
      for (std::int64_t x = 0; x < coarse.shape().w; ++x)
        for (std::int64_t c = 0; c < coarse.shape().c; ++c) {
          different += coarse.view().at(0, y, x, c) != dense.view().at(0, step * y, step * x, c);
          zeros += coarse.view().at(0, y, x, c) == 0;
        }
    CHECK(different == 0);
    CHECK(zeros < checked_elements(coarse.shape()) / 2);
  }
}

}  // namespace atrous::resnet_test
