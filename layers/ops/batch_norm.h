// BatchNorm: batch normalisation as inference sees it, a scale and a shift per channel.
//
//   out[n, y, x, c] = (in[n, y, x, c] - running_mean[c]) / sqrt(running_var[c] + eps) * weight[c] + bias[c]
//
// The variance came from training and is fixed, so a batch norm behind a convolution folds into its weights.
// Source: torch.nn.BatchNorm2d in eval mode; Ioffe & Szegedy 2015.
#pragma once

#include <cstdint>
#include <vector>

#include "layers/ops/layer.h"

namespace atrous {

// The four statistics reduced, in double, to out = in * scale + shift.
struct BatchNorm {
  std::vector<double> scale, shift;  // per channel

  std::int64_t channels() const { return static_cast<std::int64_t>(scale.size()); }

  static constexpr std::string_view name = "batch_norm";
  Shape output_shape(Shapes in) const;
  void run_reference(Views in, View out) const;
};

// scale = weight / sqrt(running_var + eps), shift = bias - running_mean * scale. All pointers hold `channels`
// values.
BatchNorm make_batch_norm(std::int64_t channels, const float* weight, const float* bias,
                          const float* running_mean, const float* running_var, double eps);

void batch_norm_reference(const BatchNorm&, ConstView in, View out);

}  // namespace atrous
