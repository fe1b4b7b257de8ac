// The innermost loop of every convolution: a small block of output pixels times a panel of output channels.
//
//   c[row][column] = begin[row][column] + sum over k of a[row][k] * b[k][column]
//                                                              row < rows, column < columns, k < depth
//
// The whole block of c lives in registers while k runs: 12 x 32 on AVX-512 and NEON (24 accumulators of 32
// registers), 6 x 16 on AVX2, 6 x 8 on SSE4. Per k it loads one row of b (two vectors) and broadcasts one a
// per row.
//
// a's rows lie at one pitch, which should not be a power of two: rows would share cache sets. b is packed so
// that it is read front to back.
#pragma once

#include <cstdint>

#include "layers/cpu/isa.h"
#include "layers/ops/activation.h"

namespace atrous {

constexpr std::int64_t tile_depth = 256;  // the most k in one call: a's rows and b's panel fit the caches
constexpr std::int64_t tile_pitch = tile_depth + 16;  // a pitch for rows of that depth

struct TileCall {
  const float* a;             // [rows][pitch]
  std::int64_t pitch;         // floats from one row of a to the next
  const float* b;             // [depth][panel columns]
  const float* next;          // fetched into the cache meanwhile, a line per k: a of a call to come; or null
  float* const* c;            // per row, the output pixel's channel 0
  const float* const* begin;  // per row, what to add to: c itself, a residual, or null for zero
  const float* bias;          // [panel columns], added when finishing
  std::int64_t column;        // of c and begin where this panel begins
  std::int64_t columns;       // how many of the panel's columns exist
  std::int64_t depth;         // 0..tile_depth
  bool finish;                // add the bias, apply the activation
  ActivationKind activation;
};

struct GemmTile {
  int rows, columns;                    // of the block
  void (*const* run)(const TileCall&);  // by number of rows: run[1] .. run[rows]
};

GemmTile gemm_tile(Isa);

}  // namespace atrous
