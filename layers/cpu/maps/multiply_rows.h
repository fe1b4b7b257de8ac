// Weights on their way into a kernel: each output channel's times its factor.
#pragma once

#include <cstdint>

#include "layers/cpu/isa.h"

namespace atrous {

// to[row][i] = from[row][i] * factors[row], products in double, rounded once. factors: of 1 where null. `to`
// may be `from`. Returns whether no value of `from` is infinite or a NaN.
bool multiply_rows(Isa, const float* from, std::int64_t rows, std::int64_t row_floats, const double* factors,
                   float* to);

}  // namespace atrous
