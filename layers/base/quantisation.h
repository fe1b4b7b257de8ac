// Integers of 8 bits that stand for real numbers: real = scale * (q - zero_point).
//
// Maps inside a network are unsigned, with one scale and zero point each, so that zero, which is what padding
// means, is a number exactly. Weights are signed and symmetric, with a scale for each output channel
// (layers/ops/filter.h).
//
// Source: Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
// Integer-Arithmetic-Only Inference".
#pragma once

#include <cstdint>

#include "layers/base/dtype.h"
#include "layers/base/public.h"

namespace ATROUS_PUBLIC atrous {

struct Quantisation {
  float scale = 1;              // positive
  std::int32_t zero_point = 0;  // 0 to 255
  bool operator==(const Quantisation&) const = default;
};

// The element type of a map, and of u8 what it stands for; of f32 as what a quantised convolution reads it.
struct MapType {
  DType dtype = DType::f32;
  Quantisation quantisation = {};
  bool operator==(const MapType&) const = default;
};

// What a map's values lie between, but for those that are not worth the room.
struct ValueRange {
  float lowest = 0, highest = 0;
  bool operator==(const ValueRange&) const = default;
};

// Of 256 steps from the lowest to the highest, zero among them. Error(invalid_argument) for numbers that are
// not finite, and for a highest below the lowest.
Quantisation quantisation_of(const ValueRange&);

// round(x * inverse + zero_point), ties to even, held to 0..255, where inverse = 1 / scale; each operation
// rounded to fp32. 0 for no number.
std::uint8_t quantise(float x, const Quantisation&);

inline float dequantise(std::uint8_t q, const Quantisation& by) {
  return by.scale * static_cast<float>(q - by.zero_point);
}

}  // namespace atrous
