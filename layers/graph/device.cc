#include "layers/graph/device.h"

#include "layers/base/checked.h"

namespace atrous {

std::span<const std::string_view> device_implementations() {
  static constexpr std::string_view names[] = {"cublaslt", "cudnn",     "cudnn_plain",
                                               "direct",   "depthwise", "cuda"};
  return names;
}

std::int64_t device_pitch(std::int64_t channels, Precision precision) {
  return round_up(channels, 16 / static_cast<std::int64_t>(size_of(element_type(precision))));
}

std::size_t device_bytes(const Shape& shape, Precision precision) {
  const std::int64_t pitch = device_pitch(shape.c, precision);
  const auto bytes = static_cast<std::int64_t>(size_of(element_type(precision)));
  return static_cast<std::size_t>(
      checked_product({shape.n, shape.h, shape.w, pitch, bytes}, "device: bytes of a map"));
}

}  // namespace atrous
