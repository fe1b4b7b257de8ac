#include "layers/ops/l2_norm.h"

#include <cmath>

#include "layers/base/checked.h"

namespace atrous {

void l2_norm_reference(const L2Norm& layer, ConstView in, View out) {
  for (std::int64_t p = 0; p < in.shape.pixels(); ++p) {
    const float* x = in.data + p * in.pitch;
    float* y = out.data + p * out.pitch;
    double sum = layer.eps;
    for (std::int64_t c = 0; c < in.shape.c; ++c)
      sum += static_cast<double>(x[c]) * static_cast<double>(x[c]);
    const double length = std::sqrt(sum);
    for (std::int64_t c = 0; c < in.shape.c; ++c)
      y[c] =
          static_cast<float>(static_cast<double>(layer.weight.get()[c]) * static_cast<double>(x[c]) / length);
  }
}

Shape L2Norm::output_shape(Shapes in) const {
  if (in[0].c != channels)
    fail(ErrorCode::invalid_argument, "l2_norm: expected ", channels, " channels, found ", in[0].c);
  return in[0];
}

void L2Norm::run_reference(Views in, View out) const { l2_norm_reference(*this, in[0], out); }

std::int64_t L2Norm::macs(Shapes in) const {
  return checked_product({in[0].n, in[0].h, in[0].w, in[0].c, 2}, "l2_norm: multiply-accumulates");
}

}  // namespace atrous
