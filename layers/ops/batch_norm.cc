#include "layers/ops/batch_norm.h"

#include <cmath>

#include "layers/base/error.h"

namespace atrous {

void batch_norm_reference(const BatchNorm& layer, ConstView in, View out) {
  for (std::int64_t p = 0; p < in.shape.pixels(); ++p)
    for (std::int64_t c = 0; c < in.shape.c; ++c) {
      const auto i = static_cast<std::size_t>(c);
      out.data[p * out.pitch + c] =
          static_cast<float>(in.data[p * in.pitch + c] * layer.scale[i] + layer.shift[i]);
    }
}

BatchNorm make_batch_norm(std::int64_t channels, const float* weight, const float* bias,
                          const float* running_mean, const float* running_var, double eps) {
  BatchNorm layer;
  for (std::int64_t c = 0; c < channels; ++c) {
    const double scale = weight[c] / std::sqrt(running_var[c] + eps);
    layer.scale.push_back(scale);
    layer.shift.push_back(bias[c] - running_mean[c] * scale);
  }
  return layer;
}

Shape BatchNorm::output_shape(Shapes in) const {
  if (in[0].c != channels())
    fail(ErrorCode::invalid_argument, "batch_norm: expected ", channels(), " channels, found ", in[0].c);
  return in[0];
}

void BatchNorm::run_reference(Views in, View out) const { batch_norm_reference(*this, in[0], out); }

}  // namespace atrous
