// What an evaluation found: everything its outputs (table, JSON, CSV, report) show.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "runtime/metrics/metrics.h"
#include "weights_tools/metadata.h"

namespace atrous {

struct Evaluation {
  std::string model, architecture;  // the file's name or the model's; "deeplabv3_resnet101"
  std::string dataset;              // "voc, val: 1449 images"
  std::string size;                 // "shorter side 520, labels by nearest", "the photos' own size"
  std::string input;                // what photos become: "RGB of 0 to 1, mean 0.485, ..., std 0.229, ..."
  std::vector<std::string> classes;
  Palette palette;
  ConfusionMatrix confusion;
  ScoreHistogram scores;  // classes = 0 where none were asked for
  std::vector<ImageScore> images;
  std::vector<std::pair<std::string, std::string>> failed;  // name and what was wrong with it
  double seconds = 0;                                       // of the whole run, wall clock

  Metrics metrics() const { return compute_metrics(confusion, scores.classes ? &scores : nullptr, images); }
};

}  // namespace atrous
