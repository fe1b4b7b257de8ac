// Little-endian numbers in byte buffers: every format read here stores them so.
#pragma once

#include <bit>
#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

namespace atrous {

static_assert(std::endian::native == std::endian::little,
              "tensors are used as the files store them: little-endian");

// The number at `bytes`, which the caller has made sure holds sizeof(T) of them.
template <class T>
T load_little_endian(const std::byte* bytes) {
  static_assert(std::is_arithmetic_v<T>);
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

inline std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

}  // namespace atrous
