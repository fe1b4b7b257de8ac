// The state of an interrupted run over COCO's images: the input as the file, and as the state in a file whose
// checksum is right. What is accepted fits the images and the classes, and can be written as results.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "runtime/evaluation/coco_state.h"
#include "tests/fuzz/memory_file.h"
#include "tests/fuzz/targets.h"
#include "weights_tools/io/sha256.h"

namespace atrous::fuzz {

namespace {

void load_state(Bytes file) {
  const MemoryFile on_disk(file);
  const std::vector<CocoImage> images{{3, "a", 4, 3}, {7, "b", 5, 2}, {8, "c", 1, 1}};
  const CocoClassMap classes{{std::nullopt, 1, 18}, false};
  DetectedCoco found;
  const bool loaded = may_refuse([&] {
    found = load_detections(on_disk.path(), {{"model", "m"}}, images, classes);
  });
  if (!loaded) return;
  promise(found.images.size() + found.failed.size() <= images.size(), "more images than there are");
  promise(std::ranges::is_sorted(found.images), "images out of order");
  for (const CocoDetection& d : found.results.detections) {
    promise(std::ranges::count(found.images, d.image) == 1, "a detection of image ", d.image);
    promise(d.category == 1 || d.category == 18, "a detection of category ", d.category);
    promise(std::isfinite(d.score) && d.box.has_value(), "a detection without score or box");
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
  load_state(input);
  const auto state = nlohmann::ordered_json::parse(as_text(input), nullptr, false);
  if (state.is_discarded()) return;
  const std::string body = state.dump();
  load_state(as_bytes(str_cat("{\"atrous_detections\": 1, \"sha256\": \"", sha256_of_bytes(as_bytes(body)),
                              "\", \"state\": ", body, "}")));
}

}  // namespace atrous::fuzz
