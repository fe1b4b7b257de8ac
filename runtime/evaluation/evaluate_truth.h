// The truth of an evaluation's images, whole or by rows, and the two readings of masks that may be of 0 and
// 255 alone.
#pragma once

#include "runtime/evaluation/evaluate_job.h"
#include "runtime/evaluation/evaluate_setting.h"

namespace atrous {

inline const DatasetSample& sample_of(const EvaluateSetting& setting, const EvaluateJob& job) {
  return setting.dataset.samples[job.index];
}

// All of it; how it was read, and which labels it has, is the job's. Errors as read_truth() and map_truth().
LabelMap read_whole_truth(const EvaluateSetting&, EvaluateJob&);

// The job's truth for a photo of this size; by rows: its head and a survey of its labels, where the file
// gives rows. Errors as above, and Error(malformed) for another size.
void read_truth_of_size(const EvaluateSetting&, EvaluateJob&, PixelSize photo, bool by_rows);

// Whether 255 is class 1 in pictures of the truth. They are drawn while the run goes on, when which reading
// holds is not known yet: all label maps are read once before. Those that are broken will be found again.
bool show_as_binary(const EvaluateSetting&);

// Of a binary truth, where pixels may be undecided: these are left out.
LabelMap decided(const Comparison&, const LabelMap& truth);
// The undecided pixels, as class 1, and no others.
LabelMap undecided_alone(LabelMap truth);
// Whether the truth has undecided pixels, and they may be class 1.
bool counts_undecided(const Comparison&, const EvaluateJob&);

}  // namespace atrous
