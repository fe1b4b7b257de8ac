#include "tests/support/png_helpers.h"

#include <libdeflate.h>

namespace atrous::testing {

FileBytes be16(std::size_t v) { return bytes({static_cast<int>(v >> 8 & 255), static_cast<int>(v & 255)}); }
FileBytes be32(std::size_t v) { return be16(v >> 16) + be16(v & 0xffff); }
FileBytes le16(std::size_t v) { return bytes({static_cast<int>(v & 255), static_cast<int>(v >> 8 & 255)}); }
FileBytes le32(std::size_t v) { return le16(v & 0xffff) + le16(v >> 16); }

FileBytes chunk(std::string_view type, const FileBytes& data) {
  const FileBytes covered = bytes(type) + data;
  return be32(data.size()) + covered + be32(libdeflate_crc32(0, covered.data(), covered.size()));
}

FileBytes png_header(std::size_t width, std::size_t height, int depth, int colour, int interlace) {
  return chunk("IHDR", be32(width) + be32(height) + bytes({depth, colour, 0, 0, interlace}));
}

FileBytes zlib(const FileBytes& data) {
  return bytes({0x78, 1, 1}) + le16(data.size()) + le16(~data.size() & 0xffff) + data +
         be32(libdeflate_adler32(1, data.data(), data.size()));
}

FileBytes png(const FileBytes& chunks) { return png_signature + chunks + chunk("IEND", {}); }

}  // namespace atrous::testing
