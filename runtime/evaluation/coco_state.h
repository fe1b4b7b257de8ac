// A model's run over COCO's images that was interrupted, in a file, so that it can go on where it stopped.
//
// A run's state (run_state.h) of kind "atrous_detections", version 1: {"seconds": ..., "other_classes": ...,
// "images":
// [...]}. Images are in the run's order, each {"failed": "why"} or its detections, [[category, score, [left,
// top, width, height], compressed runs or null], ...].
#pragma once

#include <span>
#include <string>

#include "runtime/evaluation/coco_detect.h"
#include "runtime/evaluation/run_identity.h"

namespace atrous {

// `images`: all that the run is of, by id. Those of `found`, failed ones included, are the first of them.
// Error(io) as write_file.
void save_detections(const std::string& path, const RunIdentity&, std::span<const CocoImage> images,
                     const DetectedCoco& found);

// What had been found by then. Error(io) for a file that cannot be read; Error(mismatch), naming what differs
// with both values, for the state of another run; Error(malformed) for any other file, for a damaged one, and
// for what these classes and images cannot have: other categories, masks of other sizes, with and without
// masks at once.
DetectedCoco load_detections(const std::string& path, const RunIdentity&, std::span<const CocoImage> images,
                             const CocoClassMap&);

}  // namespace atrous
