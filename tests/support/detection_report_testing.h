// A small evaluation of detections, drawn by hand, that the tests of its report share.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/evaluation/coco_evaluation.h"
#include "runtime/report/detection_report.h"
#include "tests/support/report_testing.h"

namespace atrous::report_testing {

// A rectangle of whole pixels as a mask's run lengths.
inline CocoMask rectangle(int left, int top, int width, int height, const CocoImage& image) {
  CocoMask mask{{}, {}, image.width, image.height};
  std::vector<CocoSpan> spans;
  for (int x = left; x < left + width; ++x) {
    const auto begin = static_cast<std::uint32_t>(x * image.height + top);
    spans.push_back({begin, begin + static_cast<std::uint32_t>(height)});
  }
  mask.runs = coco_runs(spans, static_cast<std::uint32_t>(image.width * image.height));
  return mask;
}

inline void add_truth(CocoEvaluation& e, std::size_t image, std::int64_t category, CocoBox box,
                      bool crowd = false) {
  const auto whole = [&](std::size_t i) { return static_cast<int>(box[i]); };
  const CocoImage& in = e.truth.images[image];
  const auto id = static_cast<std::int64_t>(e.truth.annotations.size() + 1);
  e.truth.annotations.push_back({id, in.id, category, box[2] * box[3], crowd, box,
                                 rectangle(whole(0), whole(1), whole(2), whole(3), in)});
}

inline void add_result(CocoEvaluation& e, std::size_t image, std::int64_t category, double score,
                       CocoBox box) {
  const auto whole = [&](std::size_t i) { return static_cast<int>(box[i]); };
  const CocoImage& in = e.truth.images[image];
  e.results.detections.push_back(
      {in.id, category, score, box, rectangle(whole(0), whole(1), whole(2), whole(3), in)});
}

inline void measure(CocoEvaluation& e) {
  e.boxes = measure_coco(e.truth, e.results, CocoGeometry::boxes);
  e.masks = measure_coco(e.truth, e.results, CocoGeometry::masks);
}

// Three categories, the last of which no truth is of, and an image for each name, all 120x90. In the first a
// cat is found, a dog missed and another seen where none is; in the others a cat is found.
inline CocoEvaluation drawn_detections(const std::vector<std::string>& names) {
  CocoEvaluation e;
  e.model = "model.pth";
  e.architecture = "maskrcnn_resnet50_fpn";
  e.truth.path = "drawn.json";
  e.truth.categories = {{1, "cat"}, {2, "dog"}, {3, "hovercraft"}};
  e.seconds = 2.5;
  for (std::size_t i = 0; i < names.size(); ++i)
    e.truth.images.push_back({static_cast<std::int64_t>(10 + i), names[i], 120, 90});
  for (std::size_t i = 0; i < names.size(); ++i) {
    add_truth(e, i, 1, {4, 50, 30, 24});
    if (i == 0) add_truth(e, i, 2, {70, 54, 30, 24});
  }
  for (std::size_t i = 0; i < names.size(); ++i) {
    add_result(e, i, 1, 0.875, {4, 51, 30, 24});
    if (i == 0) add_result(e, i, 2, 0.625, {70, 18, 30, 20});
  }
  measure(e);
  return e;
}

}  // namespace atrous::report_testing
