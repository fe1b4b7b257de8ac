// atrous eval --dataset coco --resume: runs of a model that finds instances which are interrupted and go on.
#include <csignal>
#include <filesystem>

#include "tests/support/instance_bench.h"

namespace atrous::eval_resume_test {

using namespace atrous::cli_testing;

namespace {

struct ResumeBench : InstanceBench {
  const std::string state = folder / "run.state";
  Arguments kept(const Arguments& more = {}) const {
    return eval(Arguments{"-q", "--resume", state, "--results", results} + more);
  }
};

}  // namespace

TEST_CASE_FIXTURE(ResumeBench, "an interrupted run ends after the images under way") {
  write_many();
  for (const int signal : {SIGINT, SIGTERM}) {
    const ProcessResult r = run_atrous(eval({"--results", results}), {.signal_at_errors = signal});
    CAPTURE(r.errors);
    CHECK(r.exit_code == 128 + signal);
    CHECK(mentions(r.errors, "atrous: error: stopped after "));
    CHECK(mentions(r.errors, " of 60 images; nothing is kept without --resume FILE\n"));
    CHECK(!std::filesystem::exists(results));
  }
}

TEST_CASE_FIXTURE(ResumeBench, "a run that was interrupted goes on to the same results and figures") {
  write_many();
  const auto without_seconds = [](Json all) {
    CHECK(all["seconds"] > 0);
    all.erase("seconds");
    return all;
  };
  const ProcessResult whole = run_atrous(eval({"-q", "--results", results, "--json", folder / "whole.json"}));
  CHECK(whole.exit_code == 0);
  const std::string expected = read_text(results);
  std::filesystem::remove(results);
  const Arguments again = eval({"--resume", state, "--results", results, "--json", folder / "all.json"});
  const ProcessResult part = run_atrous(again, {.signal_at_errors = SIGINT});
  CAPTURE(part.errors);
  REQUIRE(part.exit_code == 130);
  CHECK(mentions(part.errors, " of 60 images; the same command goes on from there\n"));
  CHECK(!std::filesystem::exists(results));
  const auto kept = std::ranges::count(read_text(state), '\n') - 1;
  CHECK(kept > 0);
  CHECK(kept < 60);
  const ProcessResult rest = run_atrous(again);
  CHECK(rest.exit_code == 0);
  CHECK(mentions(rest.errors, "1 of 60 images failed"));
  CHECK_MESSAGE(read_text(results) == expected, "other results");
  CHECK(without_seconds(Json::parse(read_text(folder / "all.json"))) ==
        without_seconds(Json::parse(read_text(folder / "whole.json"))));
  // Nothing is left to do, and it may be done with more threads, a report beside it.
  Arguments more = again + Arguments{"-q", "--report", folder / "report"};
  *std::ranges::find(more, "1") = "2";
  CHECK(run_atrous(more).exit_code == 0);
  CHECK_MESSAGE(read_text(results) == expected, "other results");
  CHECK(std::filesystem::exists(folder / "report/index.html"));
}

TEST_CASE_FIXTURE(ResumeBench, "the state of another run is refused with what differs, and left as it is") {
  succeed(kept());
  const std::string before = read_text(state);
  refuse(1, kept({"--score", "0.25"}), {state, "score was 0.05, is 0.25"});
  refuse(1, kept({"--iou", "0.75"}), {state, "IoU was 0.5, is 0.75"});
  refuse(1, kept({"--max-instances", "7"}), {state, "instances was at most 100, is at most 7"});
  refuse(1, kept({"--limit", "2"}), {state, "images was 3, sha256", "is 2, sha256"});
  refuse(1, kept({"--no-exif"}), {state, "EXIF orientation was applied, is ignored"});
  write_text(folder / "names.txt", "background\nthing 2\nthing 1\nthing 3\nthing 4\n");
  refuse(1, kept({"--classes", folder / "names.txt"}), {state, "class map was sha256"});
  refuse(1, kept({"--std", "0.5,0.5,0.5"}), {state, "normalisation was "});
  std::filesystem::copy(folder / "val2017", folder / "copy");
  refuse(1, kept({"--images", folder / "copy"}), {state, "photos was "});
  std::filesystem::copy_file(truth, folder / "annotations/instances_other.json");
  refuse(1, kept({"--set", "other", "--images", folder / "val2017"}),
         {state, "annotations was ", "instances_other.json"});
  const InstanceBench boxes(small_state("fasterrcnn_resnet(1,1,1,1)_fpn"));
  Arguments of_boxes = kept();
  *std::ranges::find(of_boxes, checkpoint) = boxes.checkpoint;
  refuse(1, of_boxes, {state, "model was sha256"});
  CHECK_MESSAGE(read_text(state) == before, "another state");
  succeed(kept());
}

TEST_CASE_FIXTURE(ResumeBench, "a file that is no state of such a run is refused by name") {
  write_text(state, "no state");
  refuse(1, kept(), {state, "is not the state of a run"});
  write_text(state, R"({"atrous_detections": 1, "sha256": "00"})");
  refuse(1, kept(), {state, "is a state of an earlier version of atrous"});
  refuse(1, eval({"--resume", folder / "nowhere/run.state"}), {"there is no folder"});
  write_text(results, "[]");
  refuse(2, measure_results({"--resume", state}), {"--resume", "not for --predictions"});
}

}  // namespace atrous::eval_resume_test
