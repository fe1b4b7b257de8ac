// The types of elements, and bfloat16.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "layers/base/public.h"

namespace ATROUS_PUBLIC atrous {

enum class DType { boolean, u8, i8, i16, i32, i64, f16, bf16, f32, f64 };

// Bytes per element.
constexpr std::size_t size_of(DType type) {
  switch (type) {
    case DType::boolean:
    case DType::u8:
    case DType::i8:
      return 1;
    case DType::i16:
    case DType::f16:
    case DType::bf16:
      return 2;
    case DType::i32:
    case DType::f32:
      return 4;
    case DType::i64:
    case DType::f64:
      return 8;
  }
  return 0;
}
std::string_view name_of(DType);  // "F32", "BF16", "I64", ...: the names of the safetensors format

// bfloat16: the upper half of an fp32's bits, 8 significant bits and fp32's exponents. Every bfloat16 is a
// float exactly.
struct Bf16 {
  std::uint16_t bits = 0;
  bool operator==(const Bf16&) const = default;
};

inline float to_float(Bf16 x) { return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16); }

// Rounded to nearest, ties to even; beyond the largest to infinity. A NaN stays one.
inline Bf16 to_bf16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return {static_cast<std::uint16_t>(bits >> 16 | 0x40U)};
  return {static_cast<std::uint16_t>((bits + 0x7fffU + (bits >> 16 & 1U)) >> 16)};
}

// The element type in memory of a C++ type.
template <class T>
inline constexpr DType dtype_of = DType::f32;
template <>
inline constexpr DType dtype_of<Bf16> = DType::bf16;
template <>
inline constexpr DType dtype_of<std::uint8_t> = DType::u8;

}  // namespace atrous
