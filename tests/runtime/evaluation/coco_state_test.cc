// Runs over COCO's images that are interrupted and go on, and the journals that they go on from. The command
// line's are tested as processes: tests/cli/eval_resume_test.cc.
#include "runtime/evaluation/coco_state.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <functional>
#include <limits>

#include "runtime/image/png.h"
#include "tests/support/coco_photos.h"
#include "tests/support/journal_testing.h"
#include "tests/support/runtime_testing.h"
#include "tests/support/temporary.h"
#include "weights_tools/io/file.h"

namespace atrous::coco_state_test {

using namespace atrous::runtime_testing;
using testing::TemporaryFolder;
using namespace atrous::journal_testing;
using Json = journal_testing::Json;

namespace {

// All but the seconds.
void check_same(const DetectedCoco& a, const DetectedCoco& b) {
  CHECK(a.images == b.images);
  CHECK(a.failed == b.failed);
  CHECK(a.other_classes == b.other_classes);
  REQUIRE(a.results.detections.size() == b.results.detections.size());
  std::size_t different = 0;
  for (std::size_t i = 0; i < a.results.detections.size(); ++i) {
    const CocoDetection &x = a.results.detections[i], &y = b.results.detections[i];
    const bool masks = x.mask && y.mask ? x.mask->runs == y.mask->runs && x.mask->width == y.mask->width &&
                                              x.mask->height == y.mask->height && x.mask->polygons.empty() &&
                                              y.mask->polygons.empty()
                                        : x.mask.has_value() == y.mask.has_value();
    different +=
        !masks || x.image != y.image || x.category != y.category || x.score != y.score || x.box != y.box;
  }
  CHECK(different == 0);
}

struct Photos : coco_photos::CocoPhotos {
  const std::string state = folder / "run.state";
  const Model model = network("maskrcnn_resnet(1,1,1,1)_fpn");

  DetectCocoOptions kept() const {
    DetectCocoOptions o = options();
    o.state = state;
    o.identity = {{"model", "one"}, {"photos", "here"}};
    return o;
  }
  DetectedCoco detect(const DetectCocoOptions& o, const DetectCocoCallbacks& callbacks = {}) const {
    return detect_coco(model, images, folder.path(), classes, o, callbacks);
  }
  // Stops before the network sees its n-th image.
  DetectedCoco stopped_after(int n, const DetectCocoOptions& o) const {
    DetectCocoCallbacks callbacks;
    callbacks.stop = [n, asked = 0]() mutable { return asked++ == n; };
    return detect(o, callbacks);
  }
  std::string refusal(ErrorCode code, const DetectCocoOptions& o) const {
    return sentence(code, [&] { detect(o); });
  }
};

}  // namespace

TEST_CASE_FIXTURE(Photos, "wherever a run was stopped, it goes on to the same detections") {
  const DetectedCoco whole = detect(options());
  REQUIRE(whole.results.detections.size() > 10);
  CHECK(whole.failed.size() == 1);
  CHECK(whole.other_classes > 0);
  for (int stop = 0; stop <= 6; ++stop) {
    CAPTURE(stop);
    std::filesystem::remove(state);
    const DetectedCoco part = stopped_after(stop, kept());
    CHECK(part.images.size() + part.failed.size() == static_cast<std::size_t>(stop));
    std::vector<std::string> done;
    DetectCocoCallbacks callbacks;
    callbacks.progress = [&](const EvaluateProgress& p) {
      done.push_back(p.name);
      CHECK(p.done_here == done.size());
      CHECK(p.done == done.size() + static_cast<std::size_t>(stop));
    };
    const DetectedCoco all = detect(kept(), callbacks);
    check_same(all, whole);
    CHECK(all.seconds > 0);
    CHECK(done.size() == 6 - static_cast<std::size_t>(stop));  // nothing is done twice
  }
  check_same(detect(kept()), whole);  // nothing left to do
}

TEST_CASE_FIXTURE(Photos, "a run of boxes alone, and one of one image at a time, go on too") {
  StateDict weights = seeded_state("fasterrcnn_resnet(1,1,1,1)_fpn", {.classes = 5, .width = 8});
  weights = scaled(weights, "roi_heads.box_predictor.cls_score.weight", 0.3F);
  const Model boxes = make_model(weights, std::nullopt, {.threads = 1});
  const auto run = [&](const DetectCocoOptions& o, int stop) {
    DetectCocoCallbacks callbacks;
    callbacks.stop = [stop, asked = 0]() mutable { return asked++ == stop; };
    return detect_coco(boxes, images, folder.path(), classes, o, callbacks);
  };
  DetectedCoco last;
  for (int i = 0; i < 6; ++i) last = run(kept(), 1);
  check_same(last, run(options(), 100));
  CHECK(!last.results.detections.empty());
}

TEST_CASE_FIXTURE(Photos, "each image is in the state as soon as it is done, however the run ends") {
  DetectCocoCallbacks callbacks;
  callbacks.progress = [&](const EvaluateProgress& p) {
    CHECK(records_in(state) == p.done);
    if (p.done == 5) fail(ErrorCode::io, "gone");
  };
  CHECK(sentence(ErrorCode::io, [&] { detect(kept(), callbacks); }) == "gone");
  CHECK(records_in(state) == 5);
  check_same(detect(kept()), detect(options()));

  std::filesystem::remove(state);
  DetectCocoOptions o = kept();
  o.strict = true;
  CHECK(mentions(refusal(ErrorCode::unsupported, o), "p2.png"));
  CHECK(records_in(state) == 2);
  check_same(detect(kept()), detect(options()));
}

TEST_CASE_FIXTURE(Photos, "the state of another run is refused, naming what differs") {
  stopped_after(2, kept());
  const std::string before = read_text(state);
  const auto differs = [&](const char* what, const std::function<void(DetectCocoOptions&)>& change) {
    DetectCocoOptions o = kept();
    change(o);
    const std::string said = refusal(ErrorCode::mismatch, o);
    CHECK_MESSAGE(said.starts_with(state), said);
    CHECK_MESSAGE(mentions(said, what), what, ": ", said);
  };
  differs("model was one, is two", [](DetectCocoOptions& o) { o.identity[0].second = "two"; });
  differs("photos was here, is nothing", [](DetectCocoOptions& o) { o.identity.pop_back(); });
  differs("score was 0.01, is 0.010000001", [](DetectCocoOptions& o) { o.instances.score = 0.010000001F; });
  differs("IoU was 0.5, is 0.4", [](DetectCocoOptions& o) { o.instances.threshold = 0.4F; });
  differs("instances was at most 100, is at most 99",
          [](DetectCocoOptions& o) { o.instances.detections = 99; });
  differs("network input was shorter side 48", [](DetectCocoOptions& o) {
    o.instances.sides = BoundedSides{49, 80};
  });
  differs("EXIF", [](DetectCocoOptions& o) { o.exif = false; });
  const auto other = [&](std::span<const CocoImage> of, const CocoClassMap& map) {
    return sentence(ErrorCode::mismatch, [&] { detect_coco(model, of, folder.path(), map, kept()); });
  };
  CHECK(mentions(other(std::span(images).first(5), classes), "images was 6, sha256"));
  CHECK(mentions(other(images, {{std::nullopt, 11, 22, 33, 44}, false}), "class map was sha256"));
  std::vector<CocoImage> renumbered = images;
  renumbered.back().id = 1000;
  CHECK(mentions(other(renumbered, classes), "images was 6, sha256"));
  const bool is_kept = read_text(state) == before;
  CHECK(is_kept);

  // What the model says by itself is the same as if it was asked for.
  DetectCocoOptions same = kept();
  same.instances.threshold = 0.5F;
  same.session.threads = 2;
  CHECK_NOTHROW(stopped_after(0, same));
}

TEST_CASE_FIXTURE(Photos,
                  "a state of detections that contradicts itself is refused, though its checksums fit") {
  stopped_after(4, kept());
  const std::string good = read_text(state);
  const auto refused = [&](const char* what, std::size_t line, const std::function<void(Json&)>& change) {
    write_text(state, changed_line(good, line, change));
    const std::string said = refusal(ErrorCode::malformed, kept());
    CHECK_MESSAGE(said.starts_with(state), said);
    CHECK_MESSAGE(mentions(said, what), what, ": ", said);
  };
  const auto of_detection = [&](const char* what, const std::function<void(Json&)>& change) {
    refused(what, 1, [&](Json& r) {
      REQUIRE(r["found"].size() > 1);
      change(r["found"][0]);
    });
  };
  refused("has image 1 in the place of 100", 1, [](Json& r) { r["id"] = 1; });
  refused("has no found", 1, [](Json& r) { r.erase("found"); });
  refused("found is not a list", 1, [](Json& r) { r["found"] = 3; });
  refused("failed is not a text", 3, [](Json& r) { r["failed"] = 1; });
  refused("took is", 1, [](Json& r) { r["took"] = "1.8p+"; });
  refused("other_classes is -1", 1, [](Json& r) { r["other_classes"] = -1; });
  refused("identity is not a list", 0, [](Json& h) { h["identity"] = "me"; });
  of_detection("a detection is no list of four", [](Json& d) { d = 5; });
  of_detection("a detection is no list of four", [](Json& d) { d.erase(0); });
  of_detection("category is 33, which no class of the model is", [](Json& d) { d[0] = 33; });
  of_detection("category is 1.5", [](Json& d) { d[0] = 1.5; });
  of_detection("score is 0.5", [](Json& d) { d[1] = 0.5; });
  of_detection("not finite", [](Json& d) { d[1] = "inf"; });
  of_detection("not finite", [](Json& d) { d[2][3] = "nan"; });
  of_detection("a box is no list of four", [](Json& d) { d[2].erase(0); });
  of_detection("box is \"x\"", [](Json& d) { d[2][0] = "x"; });
  of_detection("a mask is no text of runs", [](Json& d) { d[3] = 1; });
  of_detection("add up to less", [](Json& d) { d[3] = "1"; });
  of_detection("damaged at character 0", [](Json& d) { d[3] = " "; });
  of_detection("a detection has no mask", [](Json& d) { d[3] = nullptr; });
  // A line that is not whole is done again, one in the middle refused.
  write_text(state, good.substr(0, good.size() - 7));
  check_same(detect(kept()), detect(options()));
  write_text(state, R"({"atrous_detections": 1, "sha256": "00"})");
  CHECK(mentions(refusal(ErrorCode::malformed, kept()), "an earlier version"));
}

TEST_CASE("every double comes back from a record of detections to the bit") {
  const std::string path = "state";
  const CocoImage where{-5, "y\xff", 3, 2};
  const CocoClassMap classes{{std::nullopt, 7, std::numeric_limits<std::int64_t>::max()}, true};
  const DetectionRun run{"m\xff", "maskrcnn", "a.json", "photos", true, classes};
  DetectedImage image;
  image.seconds = 0.1 + 0.2;
  image.other_classes = 12;
  const CocoMask mask{{}, {1, 2, 3}, 3, 2};
  image.found = {{-5, 7, 1.0 / 3, CocoBox{1e-310, -0.0, 5.0 / 7, 1e300}, mask},
                 {-5, std::numeric_limits<std::int64_t>::max(), 0, CocoBox{}, mask}};
  const auto read_back = [&](const DetectedImage& from) {
    const std::optional<atrous::Json> json = parse_json(detections_record(-5, from).text, 8, "record");
    REQUIRE(json);
    return DetectionsReader{{path}}.image(*json, where, run);
  };
  DetectedImage read = read_back(image);
  CHECK(read.seconds == image.seconds);
  DetectedCoco a, b;
  add_image(a, where, std::move(read));
  add_image(b, where, DetectedImage(image));
  check_same(a, b);
  DetectedImage failed;
  failed.failed = "it\nbroke: \xff";
  CHECK(read_back(failed).failed == failed.failed);
}

TEST_CASE_FIXTURE(Photos, "a state of detections that cannot be written or read is an error with its name") {
  DetectCocoOptions o = kept();
  o.state = folder / "none/run.state";
  CHECK(mentions(refusal(ErrorCode::io, o), o.state));
  o.state = folder.path();
  CHECK(mentions(refusal(ErrorCode::io, o), o.state));
}

}  // namespace atrous::coco_state_test
