// The innermost loop of convolutions in bfloat16, and what follows it.
//
// Two neighbouring k make one step: VDPBF16PS multiplies pairs of bfloat16 and adds both products to an fp32
// sum. Processors without it unpack the weights and use the fp32 tile (gemm_tile.h), which has the same
// columns.
#pragma once

#include <cstddef>
#include <cstdint>

#include "layers/base/dtype.h"
#include "layers/cpu/isa.h"
#include "layers/ops/activation.h"

namespace atrous {

constexpr std::int64_t bf16_tile_depth = 512;                   // the most k in one call
constexpr std::int64_t bf16_tile_pitch = bf16_tile_depth + 32;  // a pitch for rows of that depth

// sums[row][column] (+)= sum over k of a[row][k] * b[k / 2][column][k % 2], of all rows and columns.
struct Bf16TileCall {
  const Bf16* a;  // [rows][pitch]
  std::int64_t pitch;
  const Bf16* b;       // [depth / 2][panel columns][2]
  std::int64_t depth;  // even
  float* sums;         // [rows][panel columns], dense
  bool add;            // to what is there
};

// What follows the sum: out[row][j] = activation(sums[row][j] + bias[j] + residual[row][j]), rounded to the
// output's type. Pointers to rows are those of channel 0.
struct FinishCall {
  const float* sums;  // [rows][panel columns], dense
  std::int64_t rows;
  const float* bias;                 // [panel columns]
  const std::byte* const* residual;  // per row, or null
  DType residual_dtype;
  std::byte* const* out;  // per row
  DType out_dtype;
  std::int64_t column;   // where the panel begins
  std::int64_t columns;  // how many of its columns exist
  ActivationKind activation;
};

struct Bf16Tile {
  int rows, columns;                  // of the block
  void (*dot)(const Bf16TileCall&);   // null where the processor has no such instruction
  void (*finish)(const FinishCall&);  // bf16 or f32
  // [pairs][columns][2] of bfloat16 as [2 * pairs][columns] floats.
  void (*unpack)(const Bf16* from, float* to, std::int64_t pairs);
};

// dot: whether to use the instruction, where there is one.
Bf16Tile bf16_tile(Isa, bool dot = true);

}  // namespace atrous
