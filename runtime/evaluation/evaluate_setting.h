// What all images of an evaluation have in common.
#pragma once

#include <string>
#include <vector>

#include "runtime/evaluation/comparison.h"
#include "runtime/evaluation/evaluate.h"
#include "runtime/evaluation/evaluation_state.h"

namespace atrous {

struct EvaluateSetting {
  Predictor predictor;
  const Dataset& dataset;
  const EvaluateOptions& options;
  bool shown = false;  // somebody will look at the pictures
  Comparison comparison;
  std::vector<std::string> predictions = {};  // a path for each sample, where there is no model

  // Whether there is a histogram of scores.
  bool has_scores() const { return options.scores && predictor.model; }
};

// Errors as evaluate(), of options and of predictions that are missing.
EvaluateSetting make_setting(const Predictor&, const Dataset&, const EvaluateOptions&, bool shown);

// Of no image yet.
Evaluation empty_evaluation(const EvaluateSetting&);
ImageCounts no_counts(const EvaluateSetting&);

// What makes another run the same one.
RunIdentity run_identity(const EvaluateSetting&);

}  // namespace atrous
