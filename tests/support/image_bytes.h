// EXIF, JPEG and BMP files built piece by piece, beside png_helpers.h's PNG, so that a test can break exactly
// one thing.
#pragma once

#include "tests/support/png_helpers.h"

namespace atrous::testing {

// A 2x1 grey PNG of 8 bits with the chunks given before its data.
inline FileBytes grey_png(const FileBytes& before = {}, const FileBytes& filtered = bytes({0, 10, 20})) {
  return png(png_header(2, 1, 8, 0) + before + chunk("IDAT", zlib(filtered)));
}

inline FileBytes exif(int orientation, bool big_endian = false) {
  if (big_endian)
    return bytes("MM") + be16(42) + be32(8) + be16(1) + be16(0x112) + be16(3) + be32(1) +
           be16(static_cast<std::size_t>(orientation)) + be16(0) + be32(0);
  return bytes("II") + le16(42) + le32(8) + le16(1) + le16(0x112) + le16(3) + le32(1) +
         le32(static_cast<std::size_t>(orientation)) + le32(0);
}

inline FileBytes segment(int marker, const FileBytes& data) {
  return bytes({0xff, marker}) + be16(data.size() + 2) + data;
}

inline FileBytes webp_chunk(const char* name, const FileBytes& data) {
  return bytes(name) + le32(data.size()) + data + FileBytes(data.size() % 2);
}
inline FileBytes webp(const FileBytes& chunks) {
  return bytes("RIFF") + le32(4 + chunks.size()) + bytes("WEBP") + chunks;
}
// VP8X, the chunk before all others: flags, then the canvas.
inline FileBytes webp_canvas(int flags, std::size_t width, std::size_t height) {
  const auto le24 = [](std::size_t value) { return first(le32(value), 3); };
  return webp_chunk("VP8X", bytes({flags, 0, 0, 0}) + le24(width - 1) + le24(height - 1));
}
// A lossless picture of one colour: each of its channels has a code of one symbol, which takes no bits, so
// that the file is as short for any size. WebP Lossless Bitstream Specification, 3 and 6.2.1.
inline FileBytes webp_picture(std::size_t width, std::size_t height, int red, int green, int blue,
                              int alpha = 255) {
  std::vector<bool> bits;
  const auto put = [&bits](std::size_t value, int count) {
    for (int i = 0; i < count; ++i) bits.push_back(value >> i & 1);
  };
  put(0x2f, 8);
  put(width - 1, 14);
  put(height - 1, 14);
  put(alpha != 255, 1);
  put(0, 3 + 3);  // version; neither transforms, nor a colour cache, nor several groups of codes
  for (const int symbol : {green, red, blue, alpha}) {
    put(0b101, 3);  // a simple code of one symbol, of 8 bits
    put(static_cast<std::size_t>(symbol), 8);
  }
  put(0b0001, 4);  // distances: the symbol 0
  FileBytes data((bits.size() + 7) / 8);
  for (std::size_t i = 0; i < bits.size(); ++i)
    if (bits[i]) data[i / 8] |= std::byte{1} << i % 8;
  return webp_chunk("VP8L", data);
}

// The pieces of an 8x8 grey JPEG of middle grey: each Huffman table has the one code 0, for "no bits" and
// "end of block".
inline const FileBytes soi = bytes({0xff, 0xd8}), eoi = bytes({0xff, 0xd9});
inline const FileBytes quantisation = segment(0xdb, bytes({0}) + FileBytes(64, std::byte{1}));
inline FileBytes huffman(int table) { return segment(0xc4, bytes({table, 1}) + FileBytes(15) + bytes({0})); }
inline FileBytes frame(int marker, std::size_t width, std::size_t height, int precision = 8) {
  return segment(marker, bytes({precision}) + be16(height) + be16(width) + bytes({1, 1, 0x11, 0}));
}
inline const FileBytes tables = quantisation + huffman(0) + huffman(0x10);
inline const FileBytes scan = segment(0xda, bytes({1, 1, 0, 0, 63, 0}));
inline const FileBytes coded = bytes({0x3f});
inline FileBytes grey_jpeg(const FileBytes& before = {}) {
  return soi + before + tables + frame(0xc0, 8, 8) + scan + coded + eoi;
}

inline FileBytes bmp(std::size_t width, std::size_t height, std::size_t bits, std::size_t compression,
                     const FileBytes& rest) {
  return bytes("BM") + le32(0) + le32(0) + le32(54) + le32(40) + le32(width) + le32(height) + le16(1) +
         le16(bits) + le32(compression) + FileBytes(20) + rest;
}
// Three components of one sampling, as photos have them.
inline FileBytes frame3(int marker, std::size_t width, std::size_t height) {
  return segment(marker,
                 bytes({8}) + be16(height) + be16(width) + bytes({3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0}));
}

}  // namespace atrous::testing
