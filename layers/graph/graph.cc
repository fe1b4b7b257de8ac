#include "layers/graph/graph.h"

#include "layers/base/checked.h"

namespace atrous {

namespace {

template <class... Cases>
struct Match : Cases... {
  using Cases::operator()...;
};
template <class... Cases>
Match(Cases...) -> Match<Cases...>;  // clang 14 does not deduce it

// The residual is the last input, if it is there.
const ConstView* residual(std::span<const ConstView> inputs, std::size_t place) {
  return inputs.size() > place ? &inputs[place] : nullptr;
}

void expect_residual(std::span<const Shape> inputs, std::size_t place, const Shape& out) {
  if (inputs.size() > place && inputs[place] != out && inputs[place] != Shape{out.n, 1, 1, out.c})
    fail(ErrorCode::invalid_argument, "conv2d: expected a residual of ", out, " or of one pixel, found ",
         inputs[place]);
}

}  // namespace

std::string_view name_of(const Layer& layer) {
  constexpr std::string_view names[] = {
      "conv2d",      "conv_transpose2d", "batch_norm", "activation", "max_pool2d", "adaptive_avg_pool2d",
      "resize",      "concat",           "add",        "mul",        "softmax",    "expand_depthwise",
      "gated_conv2d"};
  static_assert(std::size(names) == std::variant_size_v<Layer>);
  return names[layer.index()];
}

std::vector<int> count_readers(const Graph& graph) {
  std::vector<int> readers(graph.values.size());
  for (const Node& node : graph.nodes)
    for (ValueId v : node.inputs) ++readers[static_cast<std::size_t>(v)];
  for (const auto& [name, v] : graph.outputs) ++readers[static_cast<std::size_t>(v)];
  return readers;
}

Shape output_shape(const Layer& layer, std::span<const Shape> in) {
  return std::visit(Match{
                        [&](const Conv2d& l) {
                          const Shape out = output_shape(l, in[0]);
                          expect_residual(in, 1, out);
                          return out;
                        },
                        [&](const GatedConv2d& l) {
                          const Shape out = output_shape(l, in[0], in[1]);
                          expect_residual(in, 2, out);
                          return out;
                        },
                        [&](const BatchNorm& l) {
                          if (in[0].c != l.channels())
                            fail(ErrorCode::invalid_argument, "batch_norm: expected ", l.channels(),
                                 " channels, found ", in[0].c);
                          return in[0];
                        },
                        [&](const Resize&) {
                          return Shape{in[0].n, in[1].h, in[1].w, in[0].c};
                        },
                        [&](const Concat& l) { return output_shape(l, in); },
                        [&](const Add& l) { return output_shape(l, in[0], in[1]); },
                        [&](const Mul& l) { return output_shape(l, in[0], in[1]); },
                        [&](const Activation&) { return in[0]; },
                        [&](const Softmax&) { return in[0]; },
                        [&](const auto& l) { return output_shape(l, in[0]); },
                    },
                    layer);
}

std::vector<Shape> infer_shapes(const Graph& graph, const Shape& input) {
  checked_elements(input);
  std::vector<Shape> shapes(graph.values.size());
  shapes[static_cast<std::size_t>(graph.input)] = input;
  std::vector<Shape> in;
  for (const Node& node : graph.nodes) {
    in.clear();
    for (ValueId v : node.inputs) in.push_back(shapes[static_cast<std::size_t>(v)]);
    try {
      Shape& out = shapes[static_cast<std::size_t>(node.output)];
      out = output_shape(node.layer, in);
      checked_elements(out);
    } catch (const Error& error) {
      fail(error.code(), node.name, ": ", error.what());
    }
  }
  return shapes;
}

std::int64_t macs(const Node& node, std::span<const Shape> shapes) {
  const Shape& in = shapes[static_cast<std::size_t>(node.inputs[0])];
  return std::visit(Match{
                        [&](const Conv2d& l) { return macs(l, in); },
                        [&](const ConvTranspose2d& l) { return macs(l, in); },
                        [&](const ExpandDepthwise& l) { return macs(l, in); },
                        [&](const GatedConv2d& l) { return macs(l, in); },
                        [](const auto&) -> std::int64_t { return 0; },
                    },
                    node.layer);
}

void run_reference(const Layer& layer, std::span<const ConstView> in, View out) {
  std::visit(Match{
                 [&](const Conv2d& l) { conv2d_reference(l, in[0], residual(in, 1), out); },
                 [&](const ConvTranspose2d& l) { conv_transpose2d_reference(l, in[0], out); },
                 [&](const BatchNorm& l) { batch_norm_reference(l, in[0], out); },
                 [&](const Activation& l) { activation_reference(l, in[0], out); },
                 [&](const MaxPool2d& l) { max_pool2d_reference(l, in[0], out); },
                 [&](const AdaptiveAvgPool2d& l) { adaptive_avg_pool2d_reference(l, in[0], out); },
                 [&](const Resize& l) { resize_reference(l, in[0], out); },
                 [&](const Concat& l) { concat_reference(l, in, out); },
                 [&](const Add& l) { add_reference(l, in[0], in[1], out); },
                 [&](const Mul& l) { mul_reference(l, in[0], in[1], out); },
                 [&](const Softmax& l) { softmax_reference(l, in[0], out); },
                 [&](const ExpandDepthwise& l) { expand_depthwise_reference(l, in[0], out); },
                 [&](const GatedConv2d& l) { gated_conv2d_reference(l, in[0], in[1], residual(in, 2), out); },
             },
             layer);
}

}  // namespace atrous
