// Sums of floats kept as doubles, for layers whose rounding must not show (Rounding::precise): the tile of
// gemm_tile.h sums few products in registers, and what it gives is added here.
#pragma once

#include <cstdint>

#include "layers/cpu/isa.h"
#include "layers/ops/activation.h"

namespace atrous {

constexpr std::int64_t float_depth = 16;  // products that are summed as floats

struct DoubleSums {
  // sums[i] += terms[i]
  void (*add)(const float* terms, double* sums, std::int64_t count);
  // out[i] = activation(float(sums[i] + bias[i] + residual[i])); residual: null for none.
  void (*finish)(const double* sums, const float* bias, const float* residual, ActivationKind, float* out,
                 std::int64_t count);
};

DoubleSums double_sums(Isa);

}  // namespace atrous
