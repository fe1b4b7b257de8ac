// PNG files put together by hand, sound or not, from their chunks.
#pragma once

#include <cstddef>
#include <string_view>

#include "tests/support/image_helpers.h"

namespace atrous::testing {

FileBytes be16(std::size_t);
FileBytes be32(std::size_t);
FileBytes le16(std::size_t);
FileBytes le32(std::size_t);

inline const FileBytes png_signature = bytes({0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'});

// Length, type, data and their CRC.
FileBytes chunk(std::string_view type, const FileBytes& data);
FileBytes png_header(std::size_t width, std::size_t height, int depth, int colour, int interlace = 0);

// A zlib stream of one stored block.
FileBytes zlib(const FileBytes& data);

// The chunks between signature and IEND.
FileBytes png(const FileBytes& chunks);

}  // namespace atrous::testing
