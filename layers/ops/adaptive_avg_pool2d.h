// AdaptiveAvgPool2d: the mean over cells of a grid that is stretched over the picture, per channel.
//
//   out[n, y, x, c] = mean of in[n, floor(y * h / out_h) .. ceil((y + 1) * h / out_h), the same in x, c]
//
// A 1x1 grid is the global mean ("image pooling" in ASPP, the squeeze in squeeze-and-excitation).
// Source: torch.nn.AdaptiveAvgPool2d.
#pragma once

#include "layers/ops/layer.h"

namespace atrous {

struct AdaptiveAvgPool2d {
  std::int64_t out_h = 1, out_w = 1;

  static constexpr std::string_view name = "adaptive_avg_pool2d";
  Shape output_shape(Shapes in) const;
  void run_reference(Views in, View out) const;
};

Shape output_shape(const AdaptiveAvgPool2d&, const Shape& in);

// Sums in double, so that the mean of a large map is as good as its elements.
void adaptive_avg_pool2d_reference(const AdaptiveAvgPool2d&, ConstView in, View out);

}  // namespace atrous
