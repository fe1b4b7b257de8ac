// Numbers in the memory of the simulated device, in fp32 or half.
#pragma once

#include <cuda_fp16.h>

#include <cmath>
#include <cstdint>

namespace simulated {

inline double get_number(const void* data, bool half, std::int64_t i) {
  if (half) return static_cast<double>(__half2float(static_cast<const __half*>(data)[i]));
  return static_cast<double>(static_cast<const float*>(data)[i]);
}

inline void set_number(void* data, bool half, std::int64_t i, double value) {
  if (half)
    static_cast<__half*>(data)[i] = __float2half_rn(static_cast<float>(value));
  else
    static_cast<float*>(data)[i] = static_cast<float>(value);
}

// As tensor cores take fp32.
inline double to_10_bits(double value) {
  int exponent = 0;
  const double mantissa = std::frexp(value, &exponent);
  return std::ldexp(std::nearbyint(mantissa * 2048), exponent - 11);
}

}  // namespace simulated
