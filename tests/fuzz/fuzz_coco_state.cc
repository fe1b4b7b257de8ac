// The journal of a run over COCO's images: the input as the file, and its lines with checksums that fit,
// merged. What is accepted fits the images and the classes, and can be written as results.
#include <algorithm>
#include <cmath>

#include "runtime/evaluation/merge.h"
#include "tests/fuzz/memory_file.h"
#include "tests/fuzz/signed_lines.h"
#include "tests/fuzz/targets.h"

namespace atrous::fuzz {

namespace {

void merge_instances(Bytes file) {
  const MemoryFile on_disk(file);
  const std::vector<std::string> paths{on_disk.path()};
  const std::vector<CocoImage> images{{3, "a", 4, 3}, {7, "b", 5, 2}, {8, "c", 1, 1}};
  DetectionsOfState of;
  DetectedCoco found;
  const bool loaded = may_refuse([&] {
    of = run_of_state(paths.front());
    found = merge_detections(paths, true, images);
  });
  if (!loaded) return;
  promise(found.images.size() + found.failed.size() <= images.size(), "more images than there are");
  promise(std::ranges::is_sorted(found.images), "images out of order");
  for (const CocoDetection& d : found.results.detections) {
    promise(std::ranges::count(found.images, d.image) == 1, "a detection of image ", d.image);
    promise(std::ranges::count(of.run.classes.category, std::optional(d.category)) > 0,
            "a detection of category ", d.category);
    promise(std::isfinite(d.score) && d.box.has_value(), "a detection without score or box");
    promise(d.mask.has_value() == of.run.masks, "a detection with or without a mask");
    std::uint64_t pixels = 0;
    if (d.mask)
      for (const std::uint32_t run : d.mask->runs) pixels += run;
    promise(!d.mask || pixels == static_cast<std::uint64_t>(d.mask->width * d.mask->height), "a mask of ",
            pixels, " pixels");
  }
  promise(may_refuse([&] { coco_results_json(found.results); }), "results that cannot be written");
}

}  // namespace

void coco_state(Bytes input) {
  merge_instances(input);
  merge_instances(as_bytes(signed_lines(input)));
}

}  // namespace atrous::fuzz
