#include "layers/ops/doubled_conv2d.h"

#include "layers/ops/resize.h"

namespace atrous {

namespace {

constexpr Resize doubling{.mode = ResizeMode::nearest, .factor = 2};

}  // namespace

Shape DoubledConv2d::output_shape(Shapes in) const {
  return atrous::output_shape(conv, doubling.output_shape(in));
}

void DoubledConv2d::run_reference(Views in, View out) const {
  Tensor map(doubling.output_shape(std::span(&in[0].shape, 1)));
  doubling.run_reference(in, map.view());
  conv2d_reference(conv, map.view(), nullptr, out);
}

std::int64_t DoubledConv2d::macs(Shapes in) const { return atrous::macs(conv, doubling.output_shape(in)); }

}  // namespace atrous
