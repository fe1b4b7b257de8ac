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

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace atrous {

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

// Run lengths from the text COCO compresses them to: numbers in groups of five bits, lowest first, each group
// a character from '0' on, 32 added where another follows, the last one's highest bit the sign; from the
// fourth number on the difference to the one before the last. Error(malformed) for other text and for a run
// below 0 or above 2^31.
std::vector<std::uint32_t> decode_coco_runs(std::string_view text);

}  // namespace atrous
