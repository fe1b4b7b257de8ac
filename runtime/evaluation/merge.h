// The states of a run's shards put together: to the bit what the run makes that is not divided, but for
// seconds, which are those of all images.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "layers/base/public.h"
#include "runtime/evaluation/coco_detect.h"
#include "runtime/evaluation/evaluation.h"

namespace ATROUS_PUBLIC atrous {

// "evaluation" or "detections", by the head of a state. Error(io); Error(malformed) as read_journal().
std::string kind_of_state(const std::string& path);

// Error(mismatch), naming the files, for states of different runs, with what differs and both values, and for
// two of one shard; unless `partial`, Error(malformed) for shards that are missing and for a state that does
// not have all images of its shard. Error(malformed) for states that are damaged, and where all images
// failed.
Evaluation merge_evaluations(std::span<const std::string> paths, bool partial);

// Of detections first what run it is of, by the first state; then the detections, where `images` are the
// run's, by id. Error(mismatch) for other images than the states are of; otherwise as merge_evaluations().
struct DetectionsOfState {
  DetectionRun run;
  std::size_t images = 0;
};
DetectionsOfState run_of_state(const std::string& path);
DetectedCoco merge_detections(std::span<const std::string> paths, bool partial,
                              std::span<const CocoImage> images);

}  // namespace atrous
