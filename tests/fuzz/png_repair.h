// A PNG with its checksums put right, since no mutation gets past a CRC-32 or an Adler-32 by itself. Seeds
// hold their pixels in stored blocks of deflate, so that what is changed there reaches the row filters.
#pragma once

#include <libdeflate.h>

#include <memory>
#include <vector>

#include "tests/fuzz/fuzz.h"

namespace atrous::fuzz {

namespace png {

inline std::uint32_t number(const std::vector<std::byte>& file, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8 | std::to_integer<std::uint32_t>(file[at + i]);
  return value;
}

inline void put(std::vector<std::byte>& file, std::size_t at, std::uint32_t value) {
  for (std::size_t i = 0; i < 4; ++i) file[at + i] = static_cast<std::byte>(value >> (24 - 8 * i) & 255);
}

// The Adler-32 behind a zlib stream, if what it is of can be inflated.
inline void repair_stream(std::vector<std::byte>& file, std::size_t at, std::size_t length) {
  constexpr std::size_t head = 2, tail = 4, most = 1 << 18;
  if (length < head + tail) return;
  const std::unique_ptr<libdeflate_decompressor, void (*)(libdeflate_decompressor*)> inflater(
      libdeflate_alloc_decompressor(), libdeflate_free_decompressor);
  std::vector<std::byte> plain(most);
  std::size_t used = 0, size = 0;
  if (libdeflate_deflate_decompress_ex(inflater.get(), file.data() + at + head, length - head - tail,
                                       plain.data(), plain.size(), &used, &size) == LIBDEFLATE_SUCCESS)
    put(file, at + head + used, libdeflate_adler32(1, plain.data(), size));
}

}  // namespace png

// Of every chunk that is there in whole: the CRC; of an IDAT chunk that is a whole stream: the Adler-32.
inline std::vector<std::byte> with_right_checksums(Bytes input) {
  constexpr std::size_t signature = 8, around = 12;
  std::vector<std::byte> file(input.begin(), input.end());
  for (std::size_t at = signature; at + around <= file.size();) {
    const std::size_t length = png::number(file, at);
    if (length > file.size() - at - around) break;
    if (as_text(file).substr(at + 4, 4) == "IDAT") png::repair_stream(file, at + 8, length);
    png::put(file, at + 8 + length, libdeflate_crc32(0, file.data() + at + 4, length + 4));
    at += around + length;
  }
  return file;
}

}  // namespace atrous::fuzz
