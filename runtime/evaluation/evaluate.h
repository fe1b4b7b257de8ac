// Measuring a model on a dataset: every photo segmented, every label map compared with its truth.
//
//   decode thread       photo and truth read, decoded, brought to the size they are compared at
//   the caller's        normalise, the network, the label map
//   scoring thread      confusion matrix, softmax histogram, the callbacks, the state on disk
//
// Images pass through in the dataset's order and are added up in it, so that every number of the result is
// bitwise the same for any number of threads and any timing.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "layers/base/public.h"
#include "runtime/engine/session.h"
#include "runtime/evaluation/class_map.h"
#include "runtime/evaluation/dataset.h"
#include "runtime/evaluation/evaluation.h"
#include "runtime/evaluation/run_identity.h"
#include "runtime/evaluation/scored_image.h"
#include "runtime/evaluation/shard.h"
#include "runtime/segment/model.h"
#include "runtime/segment/test_protocol.h"
#include "runtime/tiles/tiled.h"

namespace ATROUS_PUBLIC atrous {

// Names and colours of the dataset's classes for a model whose classes nothing names, where there are as
// many.
void take_names(Model&, const Dataset&);

struct EvaluateOptions {
  SessionOptions session;            // threads are the network's; decoding and scoring take one each
  std::optional<ResizeRule> resize;  // instead of the model's own
  bool exif = true;                  // turn photos upright first
  // Where label maps are compared: at the network's input size, the truth resized to it by nearest and
  // cropped with the photo, as torchvision's reference does; or at the photo's own size, the truth untouched.
  bool at_original = false;
  bool scores = true;                    // the softmax histogram too, for average precision and cross-entropy
  std::optional<double> threshold = {};  // of a binary network: see threshold_logit() (model.h); none: 0.5
  bool void_class =
      false;            // void is a class of its own, "void", that is predicted only by a model that has it
  bool strict = false;  // the first broken image ends the run
  std::optional<CrfParameters> crf = {};      // score labels behind a dense CRF too: Evaluation::sharpened
  std::optional<TestProtocol> protocol = {};  // several scales, tiles and mirror images, averaged
  // Photos at their own size, in tiles of so many pixels (runtime/tiles/tiled.h); then there is neither a CRF
  // nor a protocol.
  std::optional<Tiling> tiling = {};
  std::optional<ClassMap> classes;  // empty: default_class_map()
  // Where there are two classes, no map and a dataset without classes whose void label is 255: if the labels
  // of all images are 0 and 255 alone, and both occur, 255 is class 1 and nothing is void.
  bool binary_masks = true;

  std::string model, dataset;  // as Evaluation shows them

  Shard shard = {};      // of the dataset: only its images
  std::string state;     // a file to keep the run's state in and to go on from; empty: none
  RunIdentity identity;  // what else makes runs the same: model's sha256, dataset's root
};

struct EvaluateProgress {
  std::size_t done = 0, all = 0;         // images
  std::size_t done_here = 0;             // without those of an earlier, interrupted run
  double seconds = 0;                    // of this run so far
  const std::string& name;               // of the image that was just done
  const std::string* failure = nullptr;  // and what was wrong with it
};

// A picture that is seen in several tiles and has a longer side than this is shown reduced, by the least
// whole number that brings it there: of the photo the mean of that many pixels, of labels the one in the
// middle.
constexpr int most_shown_side = 2048;

// Called from the scoring thread, one at a time, in the dataset's order; what they throw ends the run.
struct EvaluateCallbacks {
  std::function<void(const EvaluateProgress&)> progress;
  std::function<void(const ScoredImage&)> image;  // every image that has been scored
  // Asked by the caller's thread before each image: true ends the run after those under way. Of a picture in
  // tiles between its rows too: true leaves it to the run that goes on.
  std::function<bool()> stop;
};

// The colours of the classes that are compared: their palette, and white where void is one more.
Palette evaluation_palette(const std::vector<std::string>& classes, Palette, bool void_class);

// The same table for label maps that another program made, in a folder: NAME.labels.png, NAME.png or NAME.npy
// of each sample, or the photo's name in NAME's place, each of the truth's size and in any form that
// read_labels() reads. Indices and, where the dataset knows no colours, colours are those of `classes` and
// `palette`; colours that the dataset knows are its classes. Of two classes a predicted 255 is class 1,
// unless a map has both. Of the options session, resize, exif, at_original and scores do not matter.
// Error(io), with the first path and a count, for samples without a prediction.
struct Predictions {
  std::string folder;
  std::vector<std::string> classes;
  Palette palette;
};
Evaluation evaluate(const Predictions&, const Dataset&, const EvaluateOptions& = {},
                    const EvaluateCallbacks& = {});

// A run that was stopped returns what it has so far: images and failed are fewer than the dataset's samples.
// Its state, if it was asked to keep one, goes on with the same options to exactly the numbers of a run
// that was never stopped (but for seconds), however it ended: each image is appended as soon as it is scored
// (journal.h). States of all shards merge to those numbers too: merge_evaluations() (merge.h).
//
// A broken image is listed in Evaluation::failed. Error as the first of them when strict, and as
// the first image whose logits are not finite: that is the network's fault, and others would hide it.
// Error(malformed) when no image could be evaluated, of a shard among several too few to say; Error(mismatch)
// of default_class_map(); Error(invalid_argument) for a dataset without samples, as threshold_logit(),
// check(TestProtocol) and check(Tiling), for tiles together with a CRF or a protocol, or for a crop compared
// at the photo's own size; Error(limit) for classes that leave no label for void; Error(io), Error(mismatch),
// Error(malformed) for a state that cannot be used or written.
Evaluation evaluate(const Model&, const Dataset&, const EvaluateOptions& = {}, const EvaluateCallbacks& = {});

}  // namespace atrous
