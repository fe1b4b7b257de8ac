// L2Norm: every pixel's vector of channels brought to length one, then each channel scaled by a learnt
// factor.
//
//   out[n, y, x, c] = weight[c] * in[n, y, x, c] / sqrt(sum over k of in[n, y, x, k]^2 + eps)
//
// Source: Liu, Rabinovich & Berg 2015, "ParseNet: Looking Wider to See Better", section 3.3; the layer
// Normalize of their Caffe branch with across_spatial and channel_shared false.
#pragma once

#include "layers/ops/layer.h"

namespace atrous {

struct L2Norm {
  std::int64_t channels = 0;
  double eps = 1e-10;
  Weights weight = {};  // [channels]

  static constexpr std::string_view name = "l2_norm";
  Shape output_shape(Shapes in) const;  // Error(invalid_argument) for other channels
  void run_reference(Views in, View out) const;
  std::int64_t macs(Shapes in) const;  // two for each element
  template <class Visit>
  void each_weight(Visit&& visit) {
    visit(weight, channels);
  }
};

// Sums in double.
void l2_norm_reference(const L2Norm&, ConstView in, View out);  // out may be in

}  // namespace atrous
