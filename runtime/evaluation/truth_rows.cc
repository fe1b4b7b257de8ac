#include "runtime/evaluation/truth_rows.h"

#include <numeric>

#include "runtime/evaluation/dataset_files.h"

namespace atrous {

std::unique_ptr<TruthRows> TruthRows::open(const Dataset& dataset, const DatasetSample& sample) {
  if (dataset.truth || !PngRows::is_png(InputFile(sample.label))) return nullptr;
  std::unique_ptr<TruthRows> truth(new TruthRows(sample.label));
  if (truth->rows_.is_interlaced()) return nullptr;
  return truth;
}

void TruthRows::survey(const Dataset& dataset, const Comparison& comparison) {
  rows_.survey(truth_colours(dataset, comparison.colours));
  first_ = rows_.rule().first;
  std::iota(to_.begin(), to_.end(), std::uint8_t{0});
  const auto take = [&](const LabelStep& step) {
    first_ = apply(step, first_, width(), file_.path());
    for (std::uint8_t& label : to_) label = step.to[label];
  };
  if (form() == LabelForm::indices) take(lookup_step(dataset));
  for (const LabelStep& step : comparison_steps(comparison)) take(step);
}

LabelMap TruthRows::read(int rows) {
  LabelMap truth{width(), rows, {}};
  truth.labels.resize(static_cast<std::size_t>(width()) * static_cast<std::size_t>(rows));
  rows_.read(truth.labels);
  for (std::uint8_t& label : truth.labels) label = to_[label];
  return truth;
}

}  // namespace atrous
