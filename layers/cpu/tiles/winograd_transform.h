// Winograd's three transforms of a tile, along both axes, for a vector of channels at a time
// (winograd_scheme.h has the constants; conv2d_winograd.h says how they are used).
//
// Each runs as two passes of one axis, through a block that stays in the L1 cache. Loops over
// channels are innermost in memory and outermost in time: every load and store is a whole vector.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "layers/base/dtype.h"
#include "layers/cpu/conv/winograd_scheme.h"
#include "layers/cpu/isa.h"
#include "layers/ops/activation.h"

namespace atrous::winograd {

constexpr int most_inputs = 8;  // of one scheme

// B x B' of one tile.
struct InputTransform {
  Scheme vertical, horizontal;
  const std::byte* const* pixels;  // [inputs of vertical][most_inputs], channel 0; null in the padding
  DType dtype;                     // of the pixels: f32 or bf16
  std::int64_t channels;           // at least 16
  float* out;  // channel c of point (p, q) goes to out[offsets[p * points of horizontal + q] + c]
  const std::int64_t* offsets;
};

// G w G' of consecutive input channels and one panel of output channels, with one row of the vertical axis's
// G and all rows of the horizontal one's, which may need those of several schemes one after the other.
struct FilterTransform {
  std::array<float, 3> vertical;
  std::span<const Scheme> horizontal;
  const float* const* taps;  // [9], each [count][columns]
  std::int64_t count, columns;
  float* out;  // horizontal row q, input channel k: out[q * pitch + k * columns]
  std::int64_t pitch;
};

// A m A' of one tile, and what follows the sum.
struct OutputTransform {
  Scheme vertical, horizontal;
  const float* products;  // as InputTransform::out
  const std::int64_t* offsets;
  const float* bias;                 // [channels, to whole vectors]
  const std::byte* const* residual;  // [most_outputs][most_outputs], or null
  DType residual_dtype;              // f32 or bf16
  std::byte* const* pixels;          // [most_outputs][most_outputs]
  DType dtype;                       // of the pixels, likewise
  int height, width;                 // outputs that exist, at most the schemes'
  std::int64_t channels;
  ActivationKind activation;
};

struct Transforms {
  void (*input)(const InputTransform&);
  void (*filter)(const FilterTransform&);
  void (*output)(const OutputTransform&);
};

Transforms transforms(Isa);

}  // namespace atrous::winograd
