// What an evaluation compares: the truth of a dataset, brought to the classes and the size of what is
// measured.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/evaluation/evaluate.h"
#include "runtime/evaluation/label_step.h"
#include "runtime/image/label_read.h"

namespace atrous {

// What is measured: a model, or label maps that exist.
struct Predictor {
  const std::vector<std::string>& classes;
  const Palette& palette;
  const Model* model = nullptr;
  const Predictions* predictions = nullptr;
};

// How truth is made comparable.
struct Comparison {
  int model_classes = 0, classes = 0;  // with void, where it is one of its own
  int void_index = ClassMap::void_label;
  ClassMap map;
  int ignore = ClassMap::void_label;  // in the truth, before the map
  LabelColours colours;               // of the dataset's classes
  bool binary = false;                // two classes; 255 is `undecided` until all labels have been seen
  Preparation preparation;
  float threshold = 0;
};

constexpr std::uint8_t undecided = 2;  // the label 255 of masks that may be of 0 and 255 alone

// Error(invalid_argument) for a centre crop that is to be compared at the photos' own size, and as
// threshold_logit(); Error(mismatch) of default_class_map(); Error(limit) for classes that leave no label for
// what is left out.
Comparison make_comparison(const Predictor&, const Dataset&, const EvaluateOptions&);

// Every `label` becomes `as`.
LabelMap relabelled(LabelMap, std::uint8_t label, std::uint8_t as);

// From the dataset's classes to those that are compared, one after the other.
std::vector<LabelStep> comparison_steps(const Comparison&);

// The sample's truth in the classes that are compared. Errors as apply() (class_map.h).
LabelMap map_truth(LabelMap, const Comparison&, const DatasetSample&);

// As center_crop() of the photo. What lies outside the picture is void.
LabelMap crop_truth(LabelMap, int side);

// The path of every sample's label map. Error(io) as evaluate(); Error(malformed) where two files could be
// one sample's.
std::vector<std::string> list_predictions(const Predictions&, const Dataset&);

}  // namespace atrous
