// The tile of gemm_tile.h for layers whose rounding must not show (Rounding::precise): 16 products at a time
// are summed as floats, and their sums in pairs of floats: the sum rounded, and the sum of what rounding took
// away (compensated summation: Dekker 1971, "A floating-point technique for extending the available
// precision"; Knuth, The Art of Computer Programming 2, 4.2.2).
//
//   sum[row][column] += sum over k < depth of a[row][k] * b[k][column]
//
// Of 4 x 32 sums on AVX-512 (3 x 16 on AVX2) the products, in two chains each, are summed in registers, the
// pairs there or on the stack. On Zen 5, which adds beside its products, this takes 5% more time than
// products alone.
#pragma once

#include <cstdint>

#include "layers/cpu/isa.h"
#include "layers/ops/activation.h"

namespace atrous {

struct CompensatedCall {
  const float* a;      // [rows][pitch]
  std::int64_t pitch;  // floats from one row of a to the next
  const float* b;      // [depth][columns]
  std::int64_t depth;  // 0 or more
  std::int64_t rows;   // 1 to gemm_tile.h's
  float* sums;         // [gemm_tile.h's rows][2][columns]: sums rounded, and what rounding took away
  bool begin;          // with sums of zero, whatever they hold
};

// Columns are those of gemm_tile.h's panels.
struct CompensatedTile {
  void (*add)(const CompensatedCall&);
  // out[i] = activation(sums[0][i] + sums[1][i] + bias[i] + residual[i]), rounded once, for i < count, which
  // is at most columns; residual: null for none. bias: [columns].
  void (*finish)(const float* sums, const float* bias, const float* residual, ActivationKind, float* out,
                 std::int64_t count);
};

CompensatedTile compensated_tile(Isa);

}  // namespace atrous
