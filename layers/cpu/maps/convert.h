// Maps of one element type into maps of another.
#pragma once

#include <cstdint>

#include "layers/base/tensor.h"
#include "layers/cpu/isa.h"

namespace atrous {

// bfloat16 as floats, exactly, and floats rounded to bfloat16 (to_bf16() in dtype.h); and dequantise() and
// quantise() (quantisation.h), to the bit.
struct Conversion {
  void (*widen)(const Bf16* from, float* to, std::int64_t count);
  void (*narrow)(const float* from, Bf16* to, std::int64_t count);
  void (*dequantise)(const std::uint8_t* from, const Quantisation&, float* to, std::int64_t count);
  void (*quantise)(const float* from, const Quantisation&, std::uint8_t* to, std::int64_t count);
};
Conversion conversions(Isa);

// `to` becomes `from`, each of fp32, bfloat16 or 8 bits, of one shape, apart in memory.
// Error(invalid_argument) for other types or shapes, and from bfloat16 into 8 bits or back.
void convert_map(Isa, ConstAnyView from, AnyView to, int threads);

}  // namespace atrous
