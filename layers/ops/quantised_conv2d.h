// A Conv2d of a map in 8 bits by weights in 8 bits: the sums are integers, exactly, and what follows is fp32.
//
//   sum[o] = sum over ky, kx, i of (q_in - zero_point_in) * weight.quantised[o, i, ky, kx]
//   y      = float(sum[o]) * factor[o] + offset[o]  [+ residual * residual_factor]
//
// where taps in the padding add nothing. A map in fp32 becomes q_in by quantise() of its range first
// (layers/base/quantisation.h). Where the output is in 8 bits and its activation is a limit (none,
// relu, relu6), y counts the output's steps already, and
//
//   q_out  = round(min(highest, max(lowest, y)))
//
// Otherwise y is the real number and is activated; into 8 bits by quantise().
// Every product and sum of floats is rounded to fp32 for itself, ties to even. So every kernel gives the same
// bits.
//
// Source: Jacob et al. 2018 (quantisation.h), with fp32 in place of their fixed-point factor.
#pragma once

#include <vector>

#include "layers/base/tensor.h"
#include "layers/ops/conv2d.h"

namespace atrous {

// What turns sums into the output, as above.
struct Requantisation {
  std::vector<float> factor = {}, offset = {};  // [out_channels]
  float residual_factor = 1;
  bool in_steps = false;              // whether y counts the output's steps
  float lowest = 0, highest = 255;    // of a u8 output
  float inverse = 1, zero_point = 0;  // of a u8 output that is not in steps: quantise()'s
};

// residual: null where there is none; u8 or f32. Products in double, rounded once.
Requantisation requantisation(const Conv2d&, const MapType& in, const MapType* residual, const MapType& out);

// As activate(), with a product by 1/6 in place of a division by 6: what the definition takes. Not of
// sigmoid, whose exponential has no such bits: Error(invalid_argument).
float activate_in_fp32(ActivationKind, float x);

// Whether sums fit into 32 bits, whatever the map holds.
bool sums_fit(const Conv2d&);

// The definition above in plain loops. in: u8, or f32 with the quantisation that it is given. residual: null,
// u8 or f32, as Conv2d's. out: u8 or f32.
void quantised_conv2d_reference(const Conv2d&, const ConstAnyView& in, const ConstAnyView* residual,
                                const AnyView& out);

}  // namespace atrous
