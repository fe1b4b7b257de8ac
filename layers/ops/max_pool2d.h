// MaxPool2d: the largest of kernel x kernel neighbouring values, per channel.
//
//   out[n, y, x, c] = max over ky, kx of in[n, y * stride - padding + ky, x * stride - padding + kx, c]
//
// Positions outside the picture do not take part (torch pads with minus infinity). Values are taken to
// be numbers: unlike torch's, the result beside a NaN is either.
// Source: torch.nn.MaxPool2d, dilation = 1.
#pragma once

#include "layers/ops/layer.h"

namespace atrous {

struct MaxPool2d {
  std::int64_t kernel = 2, stride = 2, padding = 0;  // padding <= kernel / 2
  bool ceil_mode = false;                            // a last window may reach beyond the padded map

  static constexpr std::string_view name = "max_pool2d";
  Shape output_shape(Shapes in) const;
  void run_reference(Views in, View out) const;
};

// h_out = floor((h + 2 * padding - kernel) / stride) + 1; with ceil_mode rounded up, but for a window that
// would begin behind the map and its left padding. Error(invalid_argument) when the kernel does not fit.
Shape output_shape(const MaxPool2d&, const Shape& in);

void max_pool2d_reference(const MaxPool2d&, ConstView in, View out);

}  // namespace atrous
