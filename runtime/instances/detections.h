// Detections: what a second stage makes of the proposals, and its masks laid into the picture. As torchvision
// 0.14 has them: RoIHeads.postprocess_detections and paste_masks_in_image in models/detection/roi_heads.py,
// LevelMapper in ops/poolers.py (Ren et al., NIPS 2015; He et al., Mask R-CNN, ICCV 2017).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "layers/base/tensor.h"
#include "runtime/instances/boxes.h"
#include "runtime/instances/proposals.h"

namespace atrous {

struct Detection {
  Box box;
  float score = 0;
  int label = 0;  // never 0, the background
};

// Which of the pyramid's four maps a box is pooled from, 0 the finest:
//
//   clamp(floor(4 + log2(sqrt(area) / 224) + 1e-6), 2, 5) - 2
//
// (Lin et al., CVPR 2017, equation 1; the 1e-6 is torchvision's).
int pyramid_map_of(const Box&);

// Of N proposals' class logits [N, 1, 1, K] and regressions [N, 1, 1, 4 K], each class's four values relative
// to the proposal: softmax over the classes, boxes clipped to the image, those above the score and not too
// small, after suppression within each class; the best by falling score. Error(invalid_argument) where shapes
// disagree, Error(not_finite) where a logit is not finite.
std::vector<Detection> select_detections(ConstView logits, ConstView deltas,
                                         std::span<const Proposal> proposals, Extent image,
                                         const DetectionOptions& options = {});

// The box in a picture of another size, each axis by its own ratio.
Box rescale_box(const Box&, Extent from, Extent to);

// The pixels, both ends included, that a square mask of `side` values a row covers once padded by a rim of
// one zero: the box grown about its centre by (side + 2) / side, corners cut towards zero.
struct PastedCorners {
  std::int64_t x1 = 0, y1 = 0, x2 = 0, y2 = 0;
  bool operator==(const PastedCorners&) const = default;
};
// Error(invalid_argument) for a side below 1 and for a box with a corner that is no number or beyond 2^31.
PastedCorners pasted_corners(const Box&, std::int64_t side);

// Writes the probability image: the padded mask stretched over the corners' pixels (bilinear, half-pixel
// centres), zero elsewhere. `out` holds the picture's h * w values, row by row, `mask` side * side.
// Error(invalid_argument) where they do not.
void paste_mask(std::span<const float> mask, std::int64_t side, const PastedCorners&, Extent picture,
                std::span<float> out);

}  // namespace atrous
