// The second file that compiles stb_image and stb_image_write: static, and only what PNG's deflate takes.
#include <cstdlib>

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_ASSERT(condition) ((void)sizeof(condition))  // the library never aborts
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#define STBIW_ASSERT(condition) ((void)sizeof(condition))
#if defined(__GNUC__)  // static functions that nothing calls
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#endif
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

#include <algorithm>
#include <array>
#include <memory>

#include "layers/base/checked.h"
#include "layers/base/error.h"
#include "weights_tools/io/deflate.h"

namespace atrous {

namespace {

constexpr std::array<std::uint32_t, 256> crc_table = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    table[byte] = byte;
    for (int bit = 0; bit < 8; ++bit)
      table[byte] = table[byte] >> 1 ^ (table[byte] & 1 ? 0xedb88320 : 0);  // RFC 1952's polynomial, mirrored
  }
  return table;
}();

// RFC 1950, section 8.2.
std::uint32_t adler32(std::span<const std::byte> bytes) {
  constexpr std::uint32_t base = 65521;
  constexpr std::size_t between_remainders = 5552;  // the most bytes that leave the second sum in 32 bits
  std::uint32_t first = 1, second = 0;
  while (!bytes.empty()) {
    const auto part = bytes.first(std::min(bytes.size(), between_remainders));
    for (const std::byte b : part) {
      first += std::to_integer<std::uint32_t>(b);
      second += first;
    }
    first %= base;
    second %= base;
    bytes = bytes.subspan(part.size());
  }
  return second << 16 | first;
}

}  // namespace

std::uint32_t crc32(std::span<const std::byte> bytes) {
  std::uint32_t crc = 0xffffffff;
  for (const std::byte b : bytes) crc = crc >> 8 ^ crc_table[(crc ^ std::to_integer<std::uint32_t>(b)) & 255];
  return ~crc;
}

Inflated zlib_inflate(std::span<const std::byte> compressed, std::span<std::byte> room) {
  constexpr bool expandable = false, with_header = true;
  stbi__zbuf stream{};
  stream.zbuffer = const_cast<stbi_uc*>(reinterpret_cast<const stbi_uc*>(compressed.data()));  // only read
  stream.zbuffer_end = stream.zbuffer + compressed.size();
  const bool decoded =
      stbi__do_zlib(&stream, reinterpret_cast<char*>(room.data()),
                    checked_cast<int>(room.size(), "inflated data"), expandable, with_header);
  if (!decoded) {
    // Codes that do not exist and room that does not suffice are told apart by the sentence alone.
    const std::string_view reason = stbi_failure_reason() ? stbi_failure_reason() : "";
    return {reason == "output buffer limit" ? Inflation::no_room : Inflation::damaged, 0};
  }
  // Adler-32 follows at the next whole byte. What the decoder read ahead lies in its buffer of bits.
  const auto ahead = static_cast<std::size_t>(stream.num_bits / 8);
  const auto end =
      static_cast<std::size_t>(stream.zbuffer - reinterpret_cast<const stbi_uc*>(compressed.data()));
  constexpr std::size_t checksum_bytes = 4;
  if (end < ahead || compressed.size() - (end - ahead) < checksum_bytes) return {};
  std::uint32_t expected = 0;
  for (const std::byte b : compressed.subspan(end - ahead, checksum_bytes))
    expected = expected << 8 | std::to_integer<std::uint32_t>(b);
  const auto produced = static_cast<std::size_t>(stream.zout - stream.zout_start);
  if (adler32(room.first(produced)) != expected) return {};
  return {Inflation::done, produced};
}

std::vector<std::byte> zlib_deflate(std::span<const std::byte> bytes, int level) {
  int size = 0;
  const std::unique_ptr<unsigned char, void (*)(void*)> compressed(
      stbi_zlib_compress(const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(bytes.data())),
                         checked_cast<int>(bytes.size(), "data to deflate"), &size, level),
      std::free);
  if (!compressed) fail(ErrorCode::limit, "zlib: out of memory");
  const auto* const begin = reinterpret_cast<const std::byte*>(compressed.get());
  return {begin, begin + size};
}

}  // namespace atrous
