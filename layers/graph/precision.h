// In which numbers a network is computed.
#pragma once

#include <string_view>

#include "layers/base/dtype.h"
#include "layers/base/public.h"

namespace ATROUS_PUBLIC atrous {

// Everything accumulates in fp32.
enum class Precision {
  fp32,  // fp32 throughout
  tf32,  // fp32 in memory; the factors of a convolution are rounded to 10 bits of mantissa: on a device
  fp16,  // weights and activations in half precision: on a device
  bf16,  // weights and activations in bfloat16: on the processor
  int8,  // what a checkpoint was calibrated for in integers of 8 bits, the rest in fp32: on the processor
};
std::string_view name_of(Precision);  // "fp32", ...
DType element_type(Precision);        // of activations in memory

}  // namespace atrous
