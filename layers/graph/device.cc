#include "layers/graph/device.h"

#include "layers/base/checked.h"

namespace atrous {

std::string_view name_of(Precision precision) {
  switch (precision) {
    case Precision::fp32:
      return "fp32";
    case Precision::tf32:
      return "tf32";
    case Precision::fp16:
      return "fp16";
  }
  return "unknown";
}

std::span<const std::string_view> device_implementations() {
  static constexpr std::string_view names[] = {"cublaslt", "cudnn",     "cudnn_plain",
                                               "direct",   "depthwise", "cuda"};
  return names;
}

std::size_t element_bytes(Precision precision) { return precision == Precision::fp16 ? 2 : 4; }

std::int64_t device_pitch(std::int64_t channels, Precision precision) {
  return round_up(channels, 16 / static_cast<std::int64_t>(element_bytes(precision)));
}

std::size_t device_bytes(const Shape& shape, Precision precision) {
  const std::int64_t pitch = device_pitch(shape.c, precision);
  const auto bytes = static_cast<std::int64_t>(element_bytes(precision));
  return static_cast<std::size_t>(
      checked_product({shape.n, shape.h, shape.w, pitch, bytes}, "device: bytes of a map"));
}

}  // namespace atrous
