// Maps of one element type into maps of another.
#pragma once

#include <cstdint>

#include "layers/base/tensor.h"
#include "layers/cpu/isa.h"

namespace atrous {

// bfloat16 as floats, exactly, and floats rounded to bfloat16 (to_bf16() in dtype.h).
struct Bf16Conversion {
  void (*widen)(const Bf16* from, float* to, std::int64_t count);
  void (*narrow)(const float* from, Bf16* to, std::int64_t count);
};
Bf16Conversion bf16_conversion(Isa);

// `to` becomes `from`, each of fp32 or bfloat16, of one shape, apart in memory. Error(invalid_argument) for
// other types or shapes.
void convert_map(Isa, ConstAnyView from, AnyView to, int threads);

}  // namespace atrous
