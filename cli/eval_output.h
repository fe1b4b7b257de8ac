// What an evaluation found, for people (tables) and for their spreadsheets (CSV). For programs:
// runtime/evaluation/evaluation_json.h.
#pragma once

#include <string>
#include <vector>

#include "cli/cli.h"
#include "runtime/evaluation/evaluation.h"

namespace atrous::cli {

std::string evaluation_table(const Evaluation&);
std::string classes_csv(const Evaluation&);  // a row per class, its columns named as in the JSON
std::string images_csv(const Evaluation&);   // a row per image, then those that failed

// What `atrous eval` and `atrous merge` are asked to write.
struct EvaluationOutputs {
  std::string json, csv, images_csv, results, report;
  bool quiet = false;

  std::vector<std::string> files() const;
  bool prints_table() const;
  // A file that cannot be written is found before the hours it takes to fill it: UsageError for two on
  // standard output, Error(io) as check_output(), of `more` files too.
  void check(const std::vector<std::string>& more) const;
};
void add_evaluation_outputs(Verb&, EvaluationOutputs&, const std::string& group);

// All but results and report. Error(io).
void write_evaluation(const EvaluationOutputs&, const Evaluation&);

}  // namespace atrous::cli
