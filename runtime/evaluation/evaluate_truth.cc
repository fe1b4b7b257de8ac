#include "runtime/evaluation/evaluate_truth.h"

#include <utility>

#include "layers/base/error.h"
#include "runtime/evaluation/attempt.h"

namespace atrous {

namespace {

void check_truth_size(const DatasetSample& s, PixelSize truth, PixelSize photo) {
  if (truth.width != photo.width || truth.height != photo.height)
    fail(ErrorCode::malformed, s.label, ": expected labels of ", photo.width, "x", photo.height,
         " as the photo has, found ", truth.width, "x", truth.height);
}

void survey(const EvaluateSetting& setting, EvaluateJob& job) {
  TruthRows& truth = *job.truth_rows;
  truth.survey(setting.dataset, setting.comparison);
  job.form = truth.form();
  job.other_order = truth.other_order();
  if (setting.comparison.binary)
    for (std::size_t label = 0; label < job.seen.size(); ++label)
      job.seen[label] = truth.has(static_cast<std::uint8_t>(label));
}

}  // namespace

LabelMap read_whole_truth(const EvaluateSetting& setting, EvaluateJob& job) {
  const DatasetSample& sample = sample_of(setting, job);
  ReadLabels labels = read_truth(setting.dataset, sample, setting.comparison.colours);
  job.form = labels.form;
  job.other_order = labels.other_order;
  LabelMap truth = map_truth(std::move(labels.map), setting.comparison, sample);
  if (setting.comparison.binary)
    for (const std::uint8_t label : truth.labels)
      if (label < job.seen.size()) job.seen[label] = true;
  return truth;
}

// By rows sizes in the heads are compared first.
void read_truth_of_size(const EvaluateSetting& setting, EvaluateJob& job, PixelSize photo, bool by_rows) {
  const DatasetSample& sample = sample_of(setting, job);
  if (by_rows) job.truth_rows = TruthRows::open(setting.dataset, sample);
  job.truth = job.truth_rows ? LabelMap{job.truth_rows->width(), job.truth_rows->height(), {}}
                             : read_whole_truth(setting, job);
  check_truth_size(sample, {job.truth.width, job.truth.height}, photo);
  if (job.truth_rows) survey(setting, job);
}

bool show_as_binary(const EvaluateSetting& setting) {
  const std::vector<DatasetSample>& samples = setting.dataset.samples;
  std::array<bool, 3> seen{};
  for (std::size_t i = 0; i < samples.size() && !seen[1]; ++i) {
    EvaluateJob job;
    job.index = i;
    attempt(job.error, "", [&] {
      if (setting.options.tiling) job.truth_rows = TruthRows::open(setting.dataset, samples[i]);
      if (job.truth_rows)
        survey(setting, job);
      else
        read_whole_truth(setting, job);
    });
    for (std::size_t label = 0; label < seen.size(); ++label) seen[label] = seen[label] || job.seen[label];
  }
  return seen[0] && !seen[1] && seen[undecided];
}

LabelMap decided(const Comparison& comparison, const LabelMap& truth) {
  return comparison.binary ? relabelled(truth, undecided, ClassMap::void_label) : truth;
}

LabelMap undecided_alone(LabelMap truth) {
  for (std::uint8_t& label : truth.labels) label = label == undecided ? 1 : ClassMap::void_label;
  return truth;
}

bool counts_undecided(const Comparison& comparison, const EvaluateJob& job) {
  return comparison.binary && !job.seen[1] && job.seen[undecided];
}

}  // namespace atrous
