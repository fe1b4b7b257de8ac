#include "weights_tools/half.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "layers/base/error.h"
#include "layers/base/tensor.h"

namespace atrous {

// The bits of a float, shifted to half's exponent and fraction and rounded in the integers: a carry out of
// the fraction moves to the next exponent, and from the last one to infinity, as it should.
std::uint16_t to_half(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>(bits >> 16 & 0x8000u);
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7e00u);   // NaN
  if (magnitude >= 0x47800000u) return static_cast<std::uint16_t>(sign | 0x7c00u);  // 2^16 and beyond
  if (magnitude < 0x38800000u) {  // below 2^-14: a multiple of 2^-24, rounded by the addition
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000u));
  }
  const std::uint32_t odd = magnitude >> 13 & 1u;
  const std::uint32_t rounded = magnitude - 0x38000000u + 0xfffu + odd;
  return static_cast<std::uint16_t>(sign | rounded >> 13);
}

namespace {

StateTensor halved(const std::string& name, const StateTensor& tensor) {
  const auto values = to_float(tensor);
  const auto count = static_cast<std::size_t>(tensor.elements());
  auto buffer = std::make_shared<Buffer>(count * sizeof(std::uint16_t));
  for (std::size_t i = 0; i < count; ++i) {
    const float value = values.get()[i];
    const std::uint16_t half = to_half(value);
    if (std::isfinite(value) && (half & 0x7fffu) == 0x7c00u)
      fail(ErrorCode::unsupported, name, ": the value ", value, " is beyond half precision's largest, 65504");
    std::memcpy(buffer->data() + i * sizeof half, &half, sizeof half);
  }
  const std::byte* const data = buffer->data();
  return {DType::f16, tensor.shape, std::shared_ptr<const std::byte>(std::move(buffer), data)};
}

}  // namespace

StateDict in_half_precision(const StateDict& state) {
  StateDict out;
  for (const auto& [name, tensor] : state.entries()) {
    out.add(name, tensor.dtype == DType::f32 ? halved(name, tensor) : tensor);
  }
  return out;
}

}  // namespace atrous
