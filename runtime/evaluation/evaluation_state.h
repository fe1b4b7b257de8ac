// What one image adds to an evaluation, and how a run's journal (journal.h) of kind "evaluation" keeps it.
//
// Whole numbers (pixels, histograms) are added up in any order. Sums of doubles are made in the dataset's
// order, an image at a time, by a whole run and by merging alike: add_image().
//
// The head's "about" is what an Evaluation shows beside the numbers. A record:
//
//   {"name": ..., "took": seconds, "seen": [0 or 1, ...], "failed": why}
//   {"name": ..., "took": seconds, "seen": [...], "image": {width, height, pixels, pixel_accuracy, mean_iou,
//   mean_dice,
//    cross_entropy, iou: [[class, IoU], ...], seconds}, "confusion": counts, "scores": null or {positives:
//    counts, all: counts, cross_entropy, pixels}, "sharpened": counts, "forms": [colours, renumbered,
//    other_order], "foreground": null or {image, confusion, scores, sharpened}}
//
// counts: those that are not zero, and -n in the place of n zeros.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "runtime/evaluation/evaluation.h"
#include "runtime/evaluation/journal.h"

namespace atrous {

// One reading of an image's labels.
struct ImageCounts {
  ImageScore score;
  ConfusionMatrix confusion;
  ScoreHistogram scores;
  ConfusionMatrix sharpened;  // of classes where there is a CRF
};

struct EvaluatedImage {
  std::string name;
  std::optional<std::string> failed;  // why; then there is nothing else
  ImageCounts counts;
  std::optional<ImageCounts> foreground;  // with 255 as class 1, where the image has any and it may be
  LabelForms forms;
  std::array<bool, 3> seen{};  // of masks that may be of 0 and 255 alone: the labels 0, 1 and 255
  double seconds = 0;          // that the run took for it
};

// Adds what is a whole number. Of masks that may be of 0 and 255 alone both readings, until a label 1.
void add_counts(Evaluation&, const EvaluatedImage&);
// Adds all else, of images in the dataset's order, once the counts of all that come before are added.
void add_image(Evaluation&, EvaluatedImage&&);
// All labels have been seen: whether 255 is void or class 1 holds for all of them.
void settle_binary(Evaluation&);

// Error(malformed) where every image failed.
void expect_images(const Evaluation&);

// `empty`: with a confusion matrix and scores of zeros, as large as those of images.
JournalHead evaluation_head(const Evaluation& empty, const RunIdentity&, const Shard&, std::size_t images);
JsonText evaluation_record(const EvaluatedImage&);

// Error(malformed) for a head or record that is none, or contradicts itself.
struct EvaluationReader : StateReader {
  Evaluation empty(const Json& head) const;
  // `empty`: of the run; its classes and whether masks may be binary matter alone.
  EvaluatedImage image(const Json& record, const Evaluation& empty) const;

 private:
  ImageCounts counts(const Json& json, const std::string& name, const Evaluation& empty) const;
  ImageScore score(const Json& json, const std::string& name, int classes) const;
};

}  // namespace atrous
