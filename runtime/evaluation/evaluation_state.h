// An evaluation that was interrupted, in a file, so that it can go on where it stopped.
//
// A run's state (run_state.h) of kind "atrous_evaluation", version 2: {"seconds": ..., "forms": [...],
// "confusion":
// [...], "scores": {...} or null, "images": [...], "binary": null or {"zeros": ..., "foreground": ...,
// "confusion":
// ..., "scores": ..., "images": ...}}. Images are in the dataset's order, each what it scored or why it
// failed; their names are the dataset's.
#pragma once

#include <string>
#include <vector>

#include "layers/base/public.h"
#include "runtime/evaluation/evaluation.h"
#include "runtime/evaluation/run_identity.h"

namespace ATROUS_PUBLIC atrous {

// `names`: of all the dataset's samples, in its order. The evaluation's images and failures together are the
// first of them. Error(io) as write_file.
void save_evaluation(const std::string& path, const RunIdentity&, const std::vector<std::string>& names,
                     const Evaluation&);

// Fills in what had been counted by then: confusion, scores, images, failed, forms, binary and seconds;
// `evaluation` comes with a confusion matrix and scores of zeros, as large as expected. Error(io) for a file
// that cannot be read; Error(mismatch), naming what differs with both values, for the state of another run;
// Error(malformed) for any other file and for a damaged one. After an error `evaluation` is as it was.
void load_evaluation(const std::string& path, const RunIdentity&, const std::vector<std::string>& names,
                     Evaluation& evaluation);

}  // namespace atrous
