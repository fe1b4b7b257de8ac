// Add, Mul, Max and Scale: maps, element by element.
//
//   add:    out[n, y, x, c] = a[n, y, x, c] + b[n, y, x, c]
//   mul:    out[n, y, x, c] = a[n, y, x, c] * b[n, y, x, c]
//   max:    out[n, y, x, c] = max(a[n, y, x, c], b[n, y, x, c])
//   scale:  out[n, y, x, c] = a[n, y, x, c] * factor
//
// Add joins a residual branch (He et al. 2016); Mul applies a gate, and its second map may be smaller: one
// pixel an image is repeated over the map (squeeze-and-excitation, LR-ASPP), one channel over the channels
// (spatial attention). Max joins the scales of DeepLabV2 (Chen et al. 2018, section 3.1), Scale is FCN's
// weight of an early layer (pytorch-fcn, FCN8sAtOnce). Add and Max take equal shapes only, so that a graph
// pass may turn an Add into a convolution's residual without knowing sizes.
#pragma once

#include "layers/ops/layer.h"

namespace atrous {

struct Add {
  static constexpr std::string_view name = "add";
  Shape output_shape(Shapes in) const;
  void run_reference(Views in, View out) const;
};

struct Mul {
  static constexpr std::string_view name = "mul";
  Shape output_shape(Shapes in) const;
  void run_reference(Views in, View out) const;
};

struct Max {
  static constexpr std::string_view name = "max";
  Shape output_shape(Shapes in) const;
  void run_reference(Views in, View out) const;
};

struct Scale {
  float factor = 1;

  static constexpr std::string_view name = "scale";
  Shape output_shape(Shapes in) const;
  void run_reference(Views in, View out) const;
};

// Error(invalid_argument) naming both shapes when they do not fit.
Shape output_shape(const Add&, const Shape& a, const Shape& b);
Shape output_shape(const Mul&, const Shape& a, const Shape& b);
Shape output_shape(const Max&, const Shape& a, const Shape& b);

// How Mul's second map `b` of a shape that fits is walked through: floats from one pixel's value to the next
// pixel's, and from channel to channel; 0 where values are repeated.
struct Repeated {
  std::int64_t pixel = 0, channel = 0;
};
Repeated repeated(ConstView b, const Shape& out);

// out may be a.
void add_reference(const Add&, ConstView a, ConstView b, View out);
void mul_reference(const Mul&, ConstView a, ConstView b, View out);
void max_reference(const Max&, ConstView a, ConstView b, View out);
void scale_reference(const Scale&, ConstView in, View out);

}  // namespace atrous
