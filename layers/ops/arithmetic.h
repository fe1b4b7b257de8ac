// Add and Mul: two maps, element by element. Mul's second may be 1x1 per image: then it is repeated over the
// map.
//
//   add:  out[n, y, x, c] = a[n, y, x, c] + b[n, y, x, c]
//   mul:  out[n, y, x, c] = a[n, y, x, c] * b[n, y, x, c]      or      a[n, y, x, c] * b[n, 0, 0, c]
//
// Add joins a residual branch (He et al. 2016); Mul applies a gate (squeeze-and-excitation, LR-ASPP). Add
// takes equal shapes only, so that a graph pass may turn it into a convolution's residual without knowing
// sizes.
#pragma once

#include "layers/base/tensor.h"

namespace atrous {

struct Add {};
struct Mul {};

// Error(invalid_argument) naming both shapes when they do not fit.
Shape output_shape(const Add&, const Shape& a, const Shape& b);
Shape output_shape(const Mul&, const Shape& a, const Shape& b);

// out may be a.
void add_reference(const Add&, ConstView a, ConstView b, View out);
void mul_reference(const Mul&, ConstView a, ConstView b, View out);

}  // namespace atrous
