#include "layers/ops/gated_conv2d.h"

#include "layers/base/error.h"
#include "layers/ops/arithmetic.h"

namespace atrous {

void gated_conv2d_reference(const GatedConv2d& layer, ConstView in, ConstView gate, const ConstView* residual,
                            View out) {
  Tensor gated(in.shape);
  mul_reference({}, in, gate, gated.view());
  conv2d_reference(layer.conv, gated.view(), residual, out);
}

Shape output_shape(const GatedConv2d& layer, const Shape& in, const Shape& gate) {
  if (gate != Shape{in.n, 1, 1, in.c})
    fail(ErrorCode::invalid_argument, "gated_conv2d: a gate of ", gate, " does not fit ", in);
  return output_shape(layer.conv, in);
}

std::int64_t macs(const GatedConv2d& layer, const Shape& in) { return macs(layer.conv, in); }

Shape GatedConv2d::output_shape(Shapes in) const {
  const Shape out = atrous::output_shape(*this, in[0], in[1]);
  if (in.size() > 2) check_residual(in[2], out);
  return out;
}

void GatedConv2d::run_reference(Views in, View out) const {
  gated_conv2d_reference(*this, in[0], in[1], in.size() > 2 ? &in[2] : nullptr, out);
}

std::int64_t GatedConv2d::macs(Shapes in) const { return atrous::macs(*this, in[0]); }

}  // namespace atrous
