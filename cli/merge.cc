// atrous merge STATE...: what the shards of `atrous eval --shard I/N --resume STATE` found, as of one run
#include <algorithm>

#include "cli/cli.h"
#include "cli/eval_detections.h"
#include "cli/eval_output.h"
#include "layers/base/error.h"
#include "runtime/evaluation/merge.h"
#include "runtime/report/report.h"
#include "weights_tools/io/clean_text.h"

namespace atrous::cli {

namespace {

struct MergeOptions {
  std::vector<std::string> states;
  bool partial = false;
  EvaluationOutputs out;
};

void say_failed(std::size_t failed, std::size_t measured) {
  if (failed > 0) complain(str_cat(failed, " of ", failed + measured, " images failed"));
}

void merge_labels(const MergeOptions& o) {
  if (!o.out.results.empty()) throw UsageError{"--results: these states have label maps, no detections"};
  const Evaluation evaluation = merge_evaluations(o.states, o.partial);
  if (!o.out.report.empty()) Report(o.out.report, evaluation.palette).finish(evaluation);
  write_evaluation(o.out, evaluation);
  say_failed(evaluation.failed.size(), evaluation.images.size());
}

void merge_instances(const MergeOptions& o) {
  if (!o.out.images_csv.empty())
    throw UsageError{"--images-csv: these states have detections, no label maps"};
  const DetectionsOfState of = run_of_state(o.states.front());
  const DetectionsRequest request{.root = of.run.annotations,
                                  .set = "",
                                  .results = o.out.results,
                                  .json = o.out.json,
                                  .csv = o.out.csv,
                                  .report = o.out.report,
                                  .photos = of.run.photos,
                                  .table = o.out.prints_table()};
  CocoSet set = open_coco_set(request, of.images);
  DetectedCoco detected = merge_detections(o.states, o.partial, set.truth.images);
  std::optional<DetectionReport> report;
  if (!o.out.report.empty()) report.emplace(o.out.report);
  const std::size_t failed = detected.failed.size(), measured = detected.images.size();
  write_detections(request, of.run, std::move(set), std::move(detected), report ? &*report : nullptr);
  say_failed(failed, measured);
}

int run_merge(const MergeOptions& o) {
  o.out.check({});
  const std::string kind = kind_of_state(o.states.front());
  if (kind == "evaluation")
    merge_labels(o);
  else if (kind == "detections")
    merge_instances(o);
  else
    fail(ErrorCode::mismatch, o.states.front(), ": is the state of a run of kind ", printable(kind),
         ", expected one of atrous eval");
  return 0;
}

}  // namespace

Action add_merge(Verb& verb) {
  auto o = std::make_shared<MergeOptions>();
  verb.add_option("states", o->states, "The states of all shards, as --resume of atrous eval named them")
      .type_name("FILE")
      .required();
  const auto how = "How they are put together";
  verb.add_flag("--partial", o->partial, "Of what is there: shards and images may be missing").group(how);
  add_evaluation_outputs(verb, o->out, "What is written");
  verb.footer(
      "The numbers are to the bit those of a run that was not divided, but for seconds, which are those of "
      "all\n"
      "images. Pictures of a report are those that the shards put into the same folder.\n\n"
      "Examples:\n"
      "  atrous merge voc.*.state --report pages\n"
      "  atrous merge --partial voc.*.state");
  return [o] { return run_merge(*o); };
}

}  // namespace atrous::cli
