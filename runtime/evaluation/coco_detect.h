// A model's own detections of COCO's images: the way from a network of two stages to measure_coco() and to a
// results file.
//
//   decode thread   photos read and decoded
//   the caller's    Detector::detect()
//   another         masks laid into the photo as run lengths
//
// As torchvision's references/detection makes its results (coco_eval.py): boxes in float32 as x, y, width,
// height, masks where the pasted probability is above 0.5.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "layers/base/public.h"
#include "runtime/evaluation/coco_annotations.h"
#include "runtime/evaluation/coco_results.h"
#include "runtime/evaluation/evaluate.h"
#include "runtime/evaluation/run_identity.h"
#include "runtime/evaluation/shard.h"
#include "runtime/instances/detector.h"

namespace ATROUS_PUBLIC atrous {

// Which category each of a model's classes is.
struct CocoClassMap {
  std::vector<std::optional<std::int64_t>> category;  // an id, by label; none of the background
  bool by_name = false;
};

// Class 0 is the background. Where a class has a category's name, whatever its case, those of the same name
// belong together, and other classes are no category; of categories of one name that whose id is the label,
// or else that with the most annotations. Otherwise a label is a category's id, as torchvision's published
// networks have it. Error(mismatch) where that makes no class a category.
CocoClassMap match_coco_classes(std::span<const std::string> classes, const CocoAnnotations&);

// An image's instances that are of a category, in their order.
std::vector<CocoDetection> coco_detections(const Instances&, const CocoClassMap&, std::int64_t image);

struct DetectCocoOptions {
  SessionOptions session = {};  // threads are the network's; decoding and run lengths take one each
  InstanceOptions instances = {};
  bool exif = true;     // turn photos upright first
  bool strict = false;  // the first broken image ends the run

  Shard shard = {};           // of the images: only these
  std::string state = {};     // a file to keep the run's state in and to go on from; empty: none
  RunIdentity identity = {};  // what else makes runs the same: the model's sha256, the dataset's file
  std::string model = {}, annotations = {};  // files, as the state names them for those who merge it
};

// What measuring and reporting a run's detections takes beside the annotations.
struct DetectionRun {
  std::string model, architecture, annotations, photos;  // two files' names, the photos' folder
  bool masks = false;
  CocoClassMap classes = {};
};

// Called as EvaluateCallbacks are.
struct DetectCocoCallbacks {
  std::function<void(const EvaluateProgress&)> progress = {};
  std::function<bool()> stop = {};
};

struct DetectedCoco {
  CocoResults results;               // by image, then by falling score
  std::vector<std::int64_t> images;  // ids of those that were looked at, ascending
  std::vector<std::pair<std::string, std::string>> failed = {};  // a file's name, what was wrong
  std::size_t other_classes = 0;                                 // instances of classes that are no category
  double seconds = 0;
};

// The photos are FOLDER/file_name. A run that was stopped has fewer images, failed ones included, than were
// asked for. Error(io) with the first path and a count for photos that are missing, before any is looked at;
// Error(malformed) for file names that lead out of the folder and where no image could be looked at, of a
// shard among several too few to say; what is wrong with one image, a size other than the annotations' too,
// is kept in `failed`, or thrown where strict or where no other could fare better (attempt.h).
// Error(invalid_argument) as Detector and without images; Error(io), Error(mismatch), Error(malformed) for a
// state that cannot be used or written (coco_state.h).
//
// The state of a run that was stopped, if it was asked to keep one, goes on with the same options to exactly
// what a run finds that was never stopped (but for seconds), however it ended: each image is appended as soon
// as it is done (journal.h). States of all shards merge to that too: merge_detections() (merge.h).
DetectedCoco detect_coco(const Model&, std::span<const CocoImage> images, const std::string& folder,
                         const CocoClassMap&, const DetectCocoOptions& = {}, const DetectCocoCallbacks& = {});

// A path for each image's photo, FOLDER/file_name. Error(io) with the first path and a count for photos that
// are missing; Error(malformed) for file names that lead out of the folder.
std::vector<std::string> list_coco_photos(std::span<const CocoImage> images, const std::string& folder);

// Error(malformed), beginning with the path, for a photo of another size than the annotations have.
void check_coco_photo(const Image& photo, const CocoImage&, const std::string& path);

// Leaves out all images but those of these ids, ascending, and their annotations: COCOeval's params.imgIds.
void keep_coco_images(CocoAnnotations&, std::span<const std::int64_t> ids);

}  // namespace atrous
