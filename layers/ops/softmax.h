// Softmax: logits to probabilities, over the channels of each pixel.
//
//   out[n, y, x, c] = exp(in[n, y, x, c] - m) / sum over k of exp(in[n, y, x, k] - m),   m the pixel's
//   largest logit
//
// Source: torch.softmax(x, dim=1). Subtracting m changes nothing but keeps exp from overflowing.
#pragma once

#include "layers/ops/layer.h"

namespace atrous {

struct Softmax {
  static constexpr std::string_view name = "softmax";
  Shape output_shape(Shapes in) const;
  void run_reference(Views in, View out) const;
};

void softmax_reference(const Softmax&, ConstView in, View out);  // out may be in

}  // namespace atrous
