// COCO's masks, to the pixel as its own tools draw them (cocoapi's maskApi, which pycocotools wraps): results
// that are compared with published ones need the same truth.
//
// Pixels are counted down the columns: pixel (x, y) of a picture of height h is number x * h + y.
//
// A polygon's corners are rounded to fifths of a pixel and joined by lines of one such fine pixel's width,
// each the plainest there is: along its longer axis in steps of one, the other coordinate rounded. Where a
// line steps from the third fine column of a pixel column to the fourth, it crosses that column's middle;
// the upper one of the two fine pixels, rounded down to whole rows (two fifths belong to the row before), is
// where the mask changes from outside to inside or back. So overlapping parts of one polygon cancel out
// (even-odd), and polygons thinner than a pixel may vanish.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "layers/base/public.h"

namespace ATROUS_PUBLIC atrous {

// The pixels begin <= i < end.
struct CocoSpan {
  std::uint32_t begin = 0, end = 0;
  bool operator==(const CocoSpan&) const = default;
};

constexpr double coco_coordinate_limit = 1e6;

// x0, y0, x1, y1, ... in pixels -> in fifths of a pixel, as COCO rounds. Error(limit) for a coordinate beyond
// coco_coordinate_limit.
std::vector<std::int32_t> coco_fifths(std::span<const double> corners);

// Appends the inside of a polygon, corners in fifths, to `spans`; width * height must be below 2^31. Returns
// how often its outline crosses a column's middle, Error(limit) where that is more than 2^22 times.
std::size_t add_coco_polygon(std::vector<CocoSpan>& spans, std::span<const std::int32_t> corners, int width,
                             int height);

// Appends what run lengths, outside first, say is inside. Error(malformed) unless they add up to width *
// height.
void add_coco_runs(std::vector<CocoSpan>& spans, std::span<const std::uint32_t> runs, int width, int height);

// The union: sorted, disjoint, none empty.
void merge_coco_spans(std::vector<CocoSpan>& spans);

// How much the masks of one picture may ask for, in pixels.
struct CocoWork {
  std::uint64_t left = std::uint64_t{1} << 33;
  // Error(limit) where there is less left.
  void take(std::uint64_t pixels);
};

// An instance's mask as files have it: polygons, whose union counts, or run lengths for a picture of a size.
struct CocoMask {
  std::vector<std::vector<std::int32_t>> polygons;  // x, y, x, y, ... in fifths of a pixel
  std::vector<std::uint32_t> runs;                  // where there are no polygons: outside first
  int width = 0, height = 0;                        // of `runs`
};

// The mask in a picture of this size, merged. Error(malformed) for runs of another size.
std::vector<CocoSpan> coco_spans(const CocoMask&, int width, int height, CocoWork&);

// How many pixels merged spans have, and two of them have in common.
std::uint64_t coco_area(std::span<const CocoSpan> spans);
std::uint64_t coco_intersection(std::span<const CocoSpan> a, std::span<const CocoSpan> b);

using CocoBox = std::array<double, 4>;  // left, top, width, height in pixels

// The smallest box around merged spans; four zeros around nothing.
CocoBox coco_box_around(std::span<const CocoSpan> spans, int height);

// The corners of a box, as COCO's tools make a polygon of one.
std::vector<double> coco_box_corners(const CocoBox& box);

// Merged spans as run lengths, outside first; of `pixels` in all.
std::vector<std::uint32_t> coco_runs(std::span<const CocoSpan> spans, std::uint32_t pixels);

// Run lengths from the text COCO compresses them to: numbers in groups of five bits, lowest first, each group
// a character from '0' on, 32 added where another follows, the last one's highest bit the sign; from the
// fourth number on the difference to the one before the last. Error(malformed) for other text and for a run
// below 0 or above 2^31.
std::vector<std::uint32_t> decode_coco_runs(std::string_view text);
// Such text, as short as can be. Runs up to 2^31.
std::string encode_coco_runs(std::span<const std::uint32_t> runs);

}  // namespace atrous
