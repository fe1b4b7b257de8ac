// GroupNorm: the channels of every image, in groups of neighbours, brought to mean 0 and variance 1, then a
// scale and a shift per channel.
//
//   out[n, y, x, c] = (in[n, y, x, c] - mean) / sqrt(variance + eps) * weight[c] + bias[c]
//
// with the mean and the variance (divided by the number of values) of image n's channels in c's group over
// all pixels. Unlike a batch norm's these are not known beforehand, so that nothing folds into a convolution.
// Source: torch.nn.GroupNorm; Wu & He 2018, "Group Normalization".
#pragma once

#include "layers/ops/layer.h"

namespace atrous {

struct GroupNorm {
  std::int64_t channels = 0, groups = 1;  // groups divide channels
  double eps = 1e-5;
  Weights weight, bias;  // [channels]

  static constexpr std::string_view name = "group_norm";
  Shape output_shape(Shapes in) const;  // the input's. Error(invalid_argument) for other channels
  void run_reference(Views in, View out) const;
  std::int64_t macs(Shapes in) const;  // one an element
  template <class Visit>
  void each_weight(Visit&& visit) {
    visit(weight, channels);
    visit(bias, channels);
  }
};

// Sums in double: the mean first, then the squares of what is beside the mean. out may be in.
void group_norm_reference(const GroupNorm&, ConstView in, View out);

}  // namespace atrous
