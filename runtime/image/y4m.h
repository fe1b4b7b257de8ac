// YUV4MPEG2, uncompressed video as mjpegtools defines it (yuv4mpeg(5)) and ffmpeg's yuv4mpegpipe writes it: a
// header line, then for each frame a line FRAME and the planes of yuv.h.
//
//   YUV4MPEG2 W640 H360 F25:1 Ip A1:1 C420jpeg XCOLORRANGE=LIMITED
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "layers/base/public.h"
#include "runtime/image/yuv.h"

namespace ATROUS_PUBLIC atrous {

struct Y4mHeader {
  int width = 0, height = 0;
  int rate = 25, rate_base = 1;     // frames in so many seconds; 0 in 0: unknown
  int aspect = 0, aspect_base = 0;  // of a pixel; 0 to 0: unknown
  YuvFormat format = {};
  bool operator==(const Y4mHeader&) const = default;
};

constexpr std::string_view y4m_signature = "YUV4MPEG2";
constexpr std::size_t y4m_line_bytes = 1024;  // of a header or FRAME line, at most

// From the header's line, without its end. Range: limited unless the line says XCOLORRANGE=FULL; chroma:
// 4:2:0 as C420jpeg where it says none; what it says besides is ignored. Error(unsupported) for a colour
// space other than 420, 420jpeg, 420mpeg2, 420paldv, 422 and 444, and for interlaced frames; Error(malformed)
// for a side that is missing or no number, or that is there twice; Error(limit) for more than max_pixels.
// Sentences begin with `name`.
Y4mHeader read_y4m_header(std::string_view line, std::int64_t max_pixels, std::string_view name);

// With the line's end, of progressive frames. Mono is of full range, whatever the format says.
std::string y4m_header_line(const Y4mHeader&);

// "FRAME" and the planes. RGB, or grey for mono. Error(invalid_argument) for a picture of another size.
std::vector<std::byte> encode_y4m_frame(const Image&, const Y4mHeader&);

}  // namespace atrous
