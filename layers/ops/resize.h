// Resize: a map at another size, by bilinear or nearest interpolation, per channel.
//
// Output pixel x reads the input at a fractional place. With align_corners = false pixels are squares and
// their areas are aligned; with align_corners = true pixels are points and the corner points are aligned:
//
//   false:  place = max((x + 1/2) * r - 1/2, 0)               with the ratio r = w_in / w_out
//   true:   place = x * (w_in - 1) / (w_out - 1)              (0 when w_out = 1)
//
// bilinear: left = floor(place), right = min(left + 1, w_in - 1), f = place - left:
//           (1 - f) * in[left] + f * in[right], and the same between two rows
// nearest:  in[min(floor(x * r), w_in - 1)]
//
// A factor f instead of a size gives w_out = floor(w_in * f), and r = 1 / f unless r is to be computed from
// the sizes (torch's recompute_scale_factor, and what torch did before 1.6). The two differ where w_in * f is
// no whole number. A factor of steps is one of the ways between pixels: w_out = floor((w_in - 1) * f) + 1, as
// Caffe's Interp has them (with align_corners = true).
//
// Everything is computed in fp32, as by torch; the weights sum to one. This is not Pillow's antialiased
// resize of photos. Source: torch.nn.functional.interpolate.
#pragma once

#include <span>

#include "layers/base/public.h"
#include "layers/ops/layer.h"

namespace ATROUS_PUBLIC atrous {

enum class ResizeMode { bilinear, nearest };

struct Resize {
  ResizeMode mode = ResizeMode::bilinear;
  bool align_corners = false;  // bilinear only
  // Of the size. 0: the target size is that of the node's second input, whose values are not read.
  double factor = 0;
  bool ratio_of_sizes = false;  // with a factor: r = w_in / w_out all the same
  bool of_steps = false;        // with a factor: w_out as above

  static constexpr std::string_view name = "resize";
  // Error(invalid_argument) where nothing is left; Error(limit) on overflow.
  Shape output_shape(Shapes in) const;
  void run_reference(Views in, View out) const;
};

// Input pixels per output pixel where `in_size` become `out_size`: r above, or (w_in - 1) / (w_out - 1).
// out_size need not be whole: see resize_taps.
float resize_ratio(const Resize&, std::int64_t in_size, double out_size);

// Where one output row or column comes from: `low` and `high` with weights 1 - f and f.
struct ResizeTap {
  std::int64_t low = 0, high = 0;
  float f = 0;
};
// The taps of the first taps.size() output rows or columns where the whole input becomes out_size of them;
// less than all of them where the rest is cropped away.
void resize_taps(const Resize&, std::int64_t in_size, double out_size, std::span<ResizeTap> taps);
void resize_taps(const Resize&, std::int64_t in_size, std::span<ResizeTap> taps);  // all of them

// The size that a low-resolution map grows to: out_h and out_w pixels for the whole map, of which a caller
// may take fewer, from the top left. Not whole where the network's input was padded and labels are wanted at
// another size than the input's.
struct Growth {
  bool align_corners = false;
  double out_h = 0, out_w = 0;
};

void resize_reference(const Resize&, ConstView in, View out);
// The same with taps for each row and column of `out`.
void resize_reference(ConstView in, std::span<const ResizeTap> rows, std::span<const ResizeTap> columns,
                      View out);

}  // namespace atrous
