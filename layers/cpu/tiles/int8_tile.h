// The innermost loop of convolutions in 8 bits, and what follows it. All of it is exact (see
// layers/ops/quantised_conv2d.h): every instruction set gives the same bits.
//
// Four neighbouring k make one step: VPDPBUSD (AVX-512 VNNI, AVX-VNNI) multiplies four unsigned bytes by four
// signed ones and adds the products to a 32-bit sum; SDOT of Arm (FEAT_DotProd) does so with signed ones.
// Processors without either widen both to 16 bits and multiply pairs, which no product or sum of two
// overflows.
#pragma once

#include <cstddef>
#include <cstdint>

#include "layers/base/tensor.h"
#include "layers/cpu/isa.h"
#include "layers/ops/activation.h"

namespace atrous {

constexpr std::int64_t int8_padding = 64;       // numbers that vectors may read or write beyond the channels
constexpr std::int64_t int8_tile_depth = 1024;  // the most k in one call
constexpr std::int64_t int8_tile_pitch = int8_tile_depth + 64;  // a pitch for rows of that depth

// sums[row][column] (+)= sum over k of a[row][k] * b[k / 4][column][k % 4], of all rows and columns.
struct Int8TileCall {
  const std::uint8_t* a;  // [rows][pitch]
  std::int64_t pitch;
  const std::int8_t* b;  // [depth / 4][panel columns][4]
  std::int64_t depth;    // a multiple of 4
  std::int32_t* sums;    // [rows][panel columns], dense
  bool add;              // to what is there
};

// The same of a in 16 bits, and of b as unpack() makes it.
struct Int16TileCall {
  const std::int16_t* a;  // [rows][pitch]
  std::int64_t pitch;
  const std::int16_t* b;  // [depth / 2][panel columns][2]
  std::int64_t depth;
  std::int32_t* sums;
  bool add;
};

// What follows the sums: Requantisation, of some columns. Pointers to rows are those of channel 0.
struct Int8FinishCall {
  const std::int32_t* sums;  // [rows][pitch]
  std::int64_t pitch;
  const std::int32_t* correction;  // [columns], added to them
  std::int64_t rows;
  const float *factor, *offset;      // [columns]; these and the sums with room for a vector more
  const std::byte* const* residual;  // per row, or null
  DType residual_dtype;              // u8 or f32
  float residual_factor;
  std::byte* const* out;  // per row
  DType out_dtype;        // u8 or f32
  bool in_steps;
  float lowest, highest, inverse, zero_point;
  std::int64_t column;  // the first, in out and residual
  std::int64_t columns;
  ActivationKind activation;
};

// sums[c] = sum over taps of taps[t][c] * weight[t][c], of a depthwise convolution's pixel.
struct Int8TapsCall {
  const std::uint8_t* const* taps;  // [count]
  const std::int8_t* weights;       // as place_of_tap() says
  std::int64_t count;               // a multiple of 4
  std::int64_t channels;
  std::int32_t* sums;  // [channels], and room for int8_padding more
};

struct Int8Tile {
  int rows, columns;                 // of the block: gemm_tile()'s columns
  void (*dot)(const Int8TileCall&);  // null where the processor has no such instruction
  void (*pairs)(const Int16TileCall&);
  void (*finish)(const Int8FinishCall&);
  void (*taps)(const Int8TapsCall&);
  // Whether four taps of a channel lie side by side: see place_of_tap().
  bool interleaved_taps;
  void (*widen)(const std::uint8_t* from, std::int16_t* to, std::int64_t count);
  // [steps][columns][4] as [2 * steps][columns][2].
  void (*unpack)(const std::int8_t* from, std::int16_t* to, std::int64_t steps);
};

// Where the taps call expects a weight, of `count` taps: [tap][channel], or for four taps side by side, which
// bytes of four pixels become by being interleaved twice within 16 bytes:
//
//   [64 channels][tap / 4][channel / 4 % 4][channel / 16][channel % 4][tap % 4]
std::size_t place_of_tap(const Int8Tile&, std::int64_t channels, std::int64_t count, std::int64_t channel,
                         std::int64_t tap);
std::size_t tap_weights(const Int8Tile&, std::int64_t channels, std::int64_t count);  // bytes

// dot: whether to use the instruction, where there is one.
Int8Tile int8_tile(Isa, bool dot = true);

}  // namespace atrous
