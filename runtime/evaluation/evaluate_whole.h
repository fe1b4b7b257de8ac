// Pictures of an evaluation that are in memory whole: prepared, run through the network, counted.
#pragma once

#include "runtime/engine/session.h"
#include "runtime/evaluation/evaluate_job.h"
#include "runtime/evaluation/evaluate_setting.h"

namespace atrous {

// The decode thread's, of a label map that exists: it, the truth, and the photo where somebody will look at
// it.
void read_prediction(const EvaluateSetting&, EvaluateJob&);

// The decode thread's, once photo and truth are read: both at the size they are compared at. Error(limit)
// where the network's input alone would not fit.
void prepare_whole(const EvaluateSetting&, EvaluateJob&);

// The caller's thread's: labels, and logits where there is a histogram of scores; in one run or by the test
// protocol.
void segment_whole(const EvaluateSetting&, Session&, EvaluateJob&);
void segment_by_protocol(const EvaluateSetting&, Session&, EvaluateJob&);

// The scoring thread's.
ImageCounts count_whole(const EvaluateSetting&, const EvaluateJob&, const LabelMap& truth);

}  // namespace atrous
