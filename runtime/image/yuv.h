// Planar Y'CbCr of 8 bits, as video holds it, and RGB: ITU-R BT.601.
//
//   Y = 0.299 R + 0.587 G + 0.114 B     Cb = (B - Y) / 1.772     Cr = (R - Y) / 1.402     of R, G, B in 0..1
//
// Limited range stores 16 + 219 Y and 128 + 224 Cb, full range 255 Y and 128 + 255 Cb, each to the nearest
// and clamped to 0..255. Chroma planes of half the width or height are interpolated between the two nearest
// samples in each direction on their way to RGB, and are averages of the pixels around them on the way back;
// beyond the edge the outermost sample counts once more. Either way rounds once, at its end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "layers/base/public.h"
#include "runtime/image/image.h"

namespace ATROUS_PUBLIC atrous {

// How many chroma samples there are, and where the pixels' grid has them.
enum class Chroma {
  c420_jpeg,   // half the width and height, in the middle of four pixels
  c420_mpeg2,  // the same, in the column of the left pixels
  c420_paldv,  // the same, at the upper left pixel
  c422,        // half the width, at the left pixel
  c444,        // one for each pixel
  mono,        // none: Y alone
};

struct YuvFormat {
  Chroma chroma = Chroma::c420_jpeg;
  bool full_range = false;
  bool operator==(const YuvFormat&) const = default;
};

// Bytes of the planes Y, Cb, Cr one after the other; half of an odd side is rounded up.
// Error(invalid_argument) for sides that are not positive, Error(limit) for more bytes than an address space
// has.
std::size_t yuv_bytes(int width, int height, const YuvFormat&);

// To RGB. Error(invalid_argument) for another number of bytes than yuv_bytes(), and for mono.
Image rgb_of_yuv(std::span<const std::byte> planes, int width, int height, const YuvFormat&);

// From RGB; a grey picture for mono, whose samples stay as they are. Error(invalid_argument) for another
// number of channels.
std::vector<std::byte> yuv_of_rgb(const Image&, const YuvFormat&);

}  // namespace atrous
