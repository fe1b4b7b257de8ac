// What one of COCO's images adds to a model's detections, and how a run's journal (journal.h) of kind
// "detections" keeps it.
//
// The head's "about" is what measuring and reporting them takes beside the annotations. A record:
//
//   {"id": ..., "took": seconds, "failed": why}
//   {"id": ..., "took": seconds, "other_classes": n, "found": [[category, score, [left, top, width, height],
//    compressed runs or null], ...]}
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "runtime/evaluation/coco_detect.h"
#include "runtime/evaluation/journal.h"

namespace atrous {

struct DetectedImage {
  std::optional<std::string> failed;  // why; then there is nothing else
  std::vector<CocoDetection> found;
  std::size_t other_classes = 0;
  double seconds = 0;  // that the run took for it
};

// Adds an image, those that come before it in the annotations first.
void add_image(DetectedCoco&, const CocoImage&, DetectedImage&&);
// Error(malformed) where every image failed.
void expect_images(const DetectedCoco&);

// What the identity of a run says of its images: how many, and the digest of their ids, names and sizes.
std::string images_identity(std::span<const CocoImage>);

JournalHead detections_head(const DetectionRun&, const RunIdentity&, const Shard&, std::size_t images);
JsonText detections_record(std::int64_t image, const DetectedImage&);

// Error(malformed) for a head or record that is none; of records for what this run and this image cannot
// have: another id, other categories, masks of other sizes, masks at all or none.
struct DetectionsReader : StateReader {
  DetectionRun run(const Json& head) const;
  DetectedImage image(const Json& record, const CocoImage&, const DetectionRun&) const;

 private:
  CocoMask mask(const Json& json, const CocoImage&) const;
  CocoDetection detection(const Json& json, const CocoImage&, const DetectionRun&) const;
};

}  // namespace atrous
