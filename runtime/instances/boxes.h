// Boxes of the R-CNN family: their coding, and the suppression of those that overlap a better one.
//
// Coordinates are pixels, corners without +1: a box is x2 - x1 wide (torchvision 0.14,
// models/detection/_utils.py and ops/boxes.py). All arithmetic is float32, as theirs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "layers/base/public.h"
#include "layers/networks/detection_options.h"

namespace ATROUS_PUBLIC atrous {

// Height and width in pixels.
struct Extent {
  std::int64_t h = 0, w = 0;
};

struct Box {
  float x1 = 0, y1 = 0, x2 = 0, y2 = 0;
  bool operator==(const Box&) const = default;
};

// A box that may be suppressed by a better one of its group.
struct ScoredBox {
  Box box;
  float score = 0;
  int group = 0;  // a class, or a map of the pyramid
};

// The box that a regression says, relative to a reference box of width w, height h and centre (cx, cy):
//
//   cx' = dx / weight.x * w + cx       w' = exp(min(dw / weight.w, log(1000 / 16))) * w
//
// and likewise in y; corners are cx' -/+ w' / 2 (Girshick et al., CVPR 2014, appendix C;
// BoxCoder.decode_single).
Box decode_box(const Box& reference, const float* deltas, const BoxWeights& weights);

// x held to 0 .. width, y to 0 .. height. What is not a number stays so.
Box clip_box(const Box&, float width, float height);

// Whether both sides are at least `side`; not for sides that are no numbers.
bool has_sides(const Box&, float side);

// Greedy suppression within each group: by falling score, equal ones by their place, a box is dropped whose
//
//   intersection / (area + area of a kept box of its group - intersection) > threshold
//
// Boxes of no area drop none (0 / 0). Returns the places of the kept boxes, by falling score, equal ones by
// their place. Source: torchvision's ops.batched_nms, group by group; with at most 1000 boxes torchvision
// shifts the groups apart instead, which is the same but for the shift's rounding. Error(invalid_argument)
// where a score is not a number.
std::vector<std::size_t> suppress_overlapping(std::span<const ScoredBox>, float threshold);

}  // namespace atrous
