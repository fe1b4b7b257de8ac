// Protocol Buffers built byte by byte, so that a test can break exactly one thing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tests/support/weights_helpers.h"

namespace atrous::weights_testing {

inline Bytes varint(std::uint64_t value) {
  Bytes out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}

// A field of wire type 2, and of 0.
inline Bytes field(std::uint32_t number, std::string_view bytes) {
  return varint(std::uint64_t{number} << 3 | 2) + varint(bytes.size()) + Bytes(bytes);
}
inline Bytes number_field(std::uint32_t number, std::uint64_t value) {
  return varint(std::uint64_t{number} << 3) + varint(value);
}

// BlobShape, BlobProto, LayerParameter and NetParameter of caffe.proto.
inline Bytes blob_shape(std::initializer_list<std::int64_t> sizes) {
  Bytes dims;
  for (const std::int64_t size : sizes) dims += varint(static_cast<std::uint64_t>(size));
  return field(7, field(1, dims));
}
inline Bytes legacy_shape(std::uint64_t num, std::uint64_t channels, std::uint64_t height,
                          std::uint64_t width) {
  return number_field(1, num) + number_field(2, channels) + number_field(3, height) + number_field(4, width);
}
inline Bytes blob_of(const std::vector<float>& values) {
  return blob_shape({static_cast<std::int64_t>(values.size())}) + field(5, floats(values));
}
inline Bytes layer_v2(std::string_view name, std::string_view type, const std::vector<Bytes>& blobs) {
  Bytes layer = field(1, name) + field(2, type) + field(3, "bottom") + field(4, "top");
  for (const Bytes& blob : blobs) layer += field(7, blob);
  return field(100, layer);
}
inline Bytes layer_v1(std::string_view name, std::uint64_t type, const std::vector<Bytes>& blobs) {
  Bytes layer = field(2, "bottom") + field(3, "top") + field(4, name) + number_field(5, type);
  for (const Bytes& blob : blobs) layer += field(6, blob);
  return field(2, layer);
}

}  // namespace atrous::weights_testing
