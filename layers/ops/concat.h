// Concat: feature maps of one size side by side, along the channels.
//
//   out[n, y, x, :] = in_0[n, y, x, :] ++ in_1[n, y, x, :] ++ ...
//
// Source: torch.cat(inputs, dim=1). The planner usually lets every branch write its slice of `out` in place.
#pragma once

#include <span>

#include "layers/ops/layer.h"

namespace atrous {

struct Concat {
  static constexpr std::string_view name = "concat";
  Shape output_shape(Shapes in) const;
  void run_reference(Views in, View out) const;
};

// Error(invalid_argument) when n, h or w differ.
Shape output_shape(const Concat&, std::span<const Shape> inputs);

void concat_reference(const Concat&, std::span<const ConstView> inputs, View out);

}  // namespace atrous
