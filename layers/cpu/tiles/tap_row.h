// The sums over the taps of a row of pixels, whose products with each tap are there already
// (conv2d_tap_sums.h).
#pragma once

#include <cstdint>

#include "layers/cpu/isa.h"

namespace atrous {

constexpr std::int64_t most_tap_outputs = 4;  // of a pixel: a vector of the least of instruction sets

// c[x][o] = bias[o] + sum over r, t of rows[r][x * pitch + t * (pitch + outputs) + o] + residual[x][o], and
// of that no less than `least`. Four floats are read of every tap, whatever `outputs` is.
struct TapRowCall {
  const float* const* rows;  // kernel rows, at their first tap of the first pixel
  std::int64_t row_count, taps;
  std::int64_t pitch;
  const float* bias;  // [most_tap_outputs]
  float* c;
  std::int64_t c_pitch, outputs, pixels;
  const float* residual;  // or null
  std::int64_t residual_pitch;
  bool relu;
};

void sum_tap_row(Isa, const TapRowCall&);

}  // namespace atrous
