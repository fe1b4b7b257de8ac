// Resize: a map at another size, by bilinear or nearest interpolation, per channel.
//
// Output pixel x reads the input at a fractional place. With align_corners = false pixels are squares and
// their areas are aligned; with align_corners = true pixels are points and the corner points are aligned:
//
//   false:  place = max((x + 1/2) * w_in / w_out - 1/2, 0)
//   true:   place = x * (w_in - 1) / (w_out - 1)              (0 when w_out = 1)
//
// bilinear: left = floor(place), right = min(left + 1, w_in - 1), f = place - left:
//           (1 - f) * in[left] + f * in[right], and the same between two rows
// nearest:  in[min(floor(x * w_in / w_out), w_in - 1)]
//
// All of it in fp32, as torch does; the weights sum to one. This is not Pillow's antialiased resize of
// photos. Source: torch.nn.functional.interpolate(size=...).
#pragma once

#include <span>

#include "layers/base/tensor.h"

namespace atrous {

enum class ResizeMode { bilinear, nearest };

// The target size is that of the node's second input, whose values are not read.
struct Resize {
  ResizeMode mode = ResizeMode::bilinear;
  bool align_corners = false;  // bilinear only
};

// Where one output row or column comes from: `low` and `high` with weights 1 - f and f.
struct ResizeTap {
  std::int64_t low = 0, high = 0;
  float f = 0;
};
// The taps of `taps.size()` output rows or columns.
void resize_taps(const Resize&, std::int64_t in_size, std::span<ResizeTap> taps);

void resize_reference(const Resize&, ConstView in, View out);

}  // namespace atrous
