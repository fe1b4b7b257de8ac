// zlib's format (RFC 1950: a header, deflate's blocks, Adler-32), and CRC-32 (RFC 1952, section 8). Two
// implementations: deflate.cc, by libdeflate; deflate_stb.cc, by the functions that stb_image and
// stb_image_write have for PNG, where there is no libdeflate (WebAssembly).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace atrous {

std::uint32_t crc32(std::span<const std::byte> bytes);

enum class Inflation {
  done,     // `produced` bytes, which may be fewer than there is room for
  damaged,  // not zlib's format, cut short, or of another Adler-32
  no_room,  // more bytes than there is room for
};
struct Inflated {
  Inflation outcome = Inflation::damaged;
  std::size_t produced = 0;
};

// Into the room given, never beyond it. What follows the stream in `compressed` is left alone.
// Error(limit) where there is no memory.
Inflated zlib_inflate(std::span<const std::byte> compressed, std::span<std::byte> room);

// A whole stream. `level` is libdeflate's, 0 to 12: higher is smaller and slower. Error(limit).
std::vector<std::byte> zlib_deflate(std::span<const std::byte> bytes, int level);

}  // namespace atrous
