// Runs in shards, and what their states come to together: the numbers of a run that was not divided.
#include "runtime/evaluation/merge.h"

#include <functional>
#include <limits>

#include "runtime/evaluation/evaluation_json.h"
#include "tests/support/coco_photos.h"
#include "tests/support/evaluate_testing.h"
#include "tests/support/journal_testing.h"

namespace atrous::merge_test {

using namespace atrous::evaluate_testing;
using namespace atrous::journal_testing;
using Json = journal_testing::Json;

namespace {

// The JSON that programs read, all but the seconds.
std::string numbers(Evaluation e) {
  e.seconds = 0;
  for (ImageScore& image : e.images) image.seconds = 0;
  return evaluation_json(e);
}

struct Shards : Pairs {
  Shards() { write_file(photo_path(2), std::as_bytes(std::span("no picture", 10))); }

  std::string state(std::size_t number) const { return folder / ("shard " + std::to_string(number)); }
  EvaluateOptions part(std::size_t number, std::size_t count) const {
    EvaluateOptions o = options();
    o.shard = {number, count};
    o.state = state(number);
    o.identity = {{"model", "one"}};
    return o;
  }
  // Every shard, interrupted after each image.
  std::vector<std::string> run(const Model& of, std::size_t count) const {
    std::vector<std::string> states;
    for (std::size_t number = 1; number <= count; ++number) {
      states.push_back(state(number));
      std::filesystem::remove(states.back());
      const EvaluateOptions o = part(number, count);
      const std::size_t images = o.shard.size(names.size());
      for (std::size_t i = 0; i <= images; ++i) {
        EvaluateCallbacks callbacks;
        callbacks.stop = [asked = 0]() mutable { return asked++ == 1; };
        const Evaluation e = evaluate(of, open(), o, callbacks);
        CHECK(e.images.size() + e.failed.size() == std::min(i + 1, images));
      }
    }
    return states;
  }
  static std::string refused(ErrorCode code, const std::vector<std::string>& states) {
    return sentence(code, [&] { merge_evaluations(states, false); });
  }
};

}  // namespace

TEST_CASE("a shard's images are every N-th of the list, and those of all shards are the list") {
  for (const std::size_t count : {1U, 2U, 7U, 100U})
    for (const std::size_t all : {0U, 1U, 6U, 7U, 99U, 100U, 101U, 1449U}) {
      std::vector<std::size_t> seen;
      for (std::size_t number = 1; number <= count; ++number) {
        const Shard shard{number, count};
        CHECK(shard.size(all) >= all / count);
        CHECK(shard.size(all) <= all / count + 1);
        for (std::size_t place = 0; place < shard.size(all); ++place) {
          seen.push_back(shard.at(place));
          CHECK(seen.back() % count == number - 1);
        }
      }
      std::ranges::sort(seen);
      bool is_list = seen.size() == all;
      for (std::size_t i = 0; is_list && i < all; ++i) is_list = seen[i] == i;
      CHECK(is_list);
    }
}

TEST_CASE_FIXTURE(Shards, "shards merge to the whole run, bit for bit, whatever their number and order") {
  const Evaluation whole = evaluate(model, open(), options());
  for (const std::size_t count : {1U, 2U, 7U, 100U}) {
    CAPTURE(count);
    std::vector<std::string> states = run(model, count);
    std::ranges::reverse(states);
    const Evaluation merged = merge_evaluations(states, false);
    check_same(merged, whole);
    CHECK(numbers(merged) == numbers(whole));
    CHECK(merged.missing == 0);
  }
}

TEST_CASE_FIXTURE(Shards, "what a run says of itself beside the numbers is merged too") {
  const auto same = [&](const std::function<void(EvaluateOptions&)>& change) {
    EvaluateOptions whole = options();
    whole.model = "net \xff.pth";
    whole.dataset = "pairs: 6 images";
    change(whole);
    std::vector<std::string> states;
    for (std::size_t number = 1; number <= 2; ++number) {
      EvaluateOptions o = whole;
      o.shard = {number, 2};
      o.state = state(number);
      std::filesystem::remove(o.state);
      evaluate(model, open(), o);
      states.push_back(o.state);
    }
    const Evaluation expected = evaluate(model, open(), whole), merged = merge_evaluations(states, false);
    CHECK(numbers(merged) == numbers(expected));
    CHECK(merged.palette == expected.palette);
    CHECK(merged.colours == expected.colours);
  };
  same([](EvaluateOptions&) {});
  same([](EvaluateOptions& o) { o.scores = false; });
  same([](EvaluateOptions& o) { o.void_class = true; });
  same([](EvaluateOptions& o) { o.crf = CrfParameters{.iterations = 2}; });
  same([](EvaluateOptions& o) {
    o.resize.reset();
    o.tiling = Tiling{32, 8};
  });
  same([](EvaluateOptions& o) { o.protocol = TestProtocol{.scales = {0.75, 1.1}, .flip = true}; });
}

TEST_CASE_FIXTURE(Shards, "masks of 0 and 255 are read the same way in all shards") {
  const Model two = make_model(seeded_state("deeplabv3_resnet(1,1,1,1)", {.classes = 2, .width = 8}),
                               std::nullopt, {.threads = 1});
  for (std::size_t i = 0; i < names.size(); ++i) {
    LabelMap map = read_labels_file(label_path(i));
    for (std::uint8_t& label : map.labels) label = label == 255 || label > 2 ? 255 : 0;
    write_labels(label_path(i), map);
  }
  const Evaluation masks = evaluate(two, open(), options());
  CHECK(masks.binary_masks);
  for (const std::size_t count : {2U, 7U})
    CHECK(numbers(merge_evaluations(run(two, count), false)) == numbers(masks));
  // A 1 in one shard's last image: 255 is void in all shards' images.
  LabelMap map = read_labels_file(label_path(4));
  map.labels[0] = 1;
  write_labels(label_path(4), map);
  const Evaluation labels = evaluate(two, open(), options());
  CHECK(!labels.binary_masks);
  for (const std::size_t count : {2U, 7U})
    CHECK(numbers(merge_evaluations(run(two, count), false)) == numbers(labels));
}

TEST_CASE_FIXTURE(Shards, "overlapping, missing, unfinished and foreign shards are refused by name") {
  const std::vector<std::string> states = run(model, 3);
  const auto mention_all = [](const std::string& said, const std::vector<std::string>& parts) {
    for (const std::string& part : parts) CHECK_MESSAGE(mentions(said, part), part, ": ", said);
  };
  std::filesystem::copy_file(states[1], folder / "copy");
  mention_all(refused(ErrorCode::mismatch, {states[0], states[1], folder / "copy", states[2]}),
              {states[1], folder / "copy", "both of shard 2 of 3"});
  mention_all(refused(ErrorCode::malformed, {states[0], states[2]}),
              {"of 3 shards 1 is missing, number 2", "--partial"});
  const Evaluation partial = merge_evaluations(std::span(states).first(1), true);
  CHECK(partial.images.size() == 2);
  CHECK(partial.missing == 4);
  CHECK(mentions(notes(partial).front(), "4 of 6 images are not there"));

  const std::string whole = read_text(states[2]);
  write_text(states[2], whole.substr(0, whole.size() - 9));  // the last line is torn
  mention_all(refused(ErrorCode::malformed, states), {states[2], "has 1 of the 2 images of shard 3 of 3"});
  CHECK(merge_evaluations(states, true).missing == 1);
  write_text(states[2], whole + last_line(whole));
  mention_all(refused(ErrorCode::malformed, states), {states[2], "more than the 2 images"});

  const auto foreign = [&](const std::vector<std::string>& parts, const std::function<void(Json&)>& change) {
    write_text(states[2], changed_line(whole, 0, change));
    std::vector<std::string> all = parts;
    all.push_back(states[2]);
    all.push_back(states[0]);
    mention_all(refused(ErrorCode::mismatch, states), all);
  };
  foreign({"model is two, not one"}, [](Json& h) { h["identity"][0][1] = "two"; });
  foreign({"kind is detections, not evaluation"}, [](Json& h) { h["kind"] = "detections"; });
  foreign({"shards is 4, not 3"}, [](Json& h) { h["shard"] = {3, 4}; });
  foreign({"images in all is 7, not 6"}, [](Json& h) { h["images"] = 7; });
  foreign({"classes", "bicycle"}, [](Json& h) { h["about"]["classes"][1] = "bicycle"; });
  CHECK(mentions(sentence(ErrorCode::io, [&] { merge_evaluations(std::vector{folder / "none"}, false); }),
                 folder / "none"));
}

TEST_CASE_FIXTURE(Shards,
                  "where all of one shard's images are broken the others count, where all are none does") {
  write_file(photo_path(5), std::as_bytes(std::span("no picture", 10)));  // shard 3 of 3 has c and f
  const Evaluation whole = evaluate(model, open(), options());
  CHECK(whole.failed.size() == 2);
  CHECK(numbers(merge_evaluations(run(model, 3), false)) == numbers(whole));
  for (std::size_t i = 0; i < names.size(); ++i)
    write_file(photo_path(i), std::as_bytes(std::span("no picture", 10)));
  CHECK(mentions(refused(ErrorCode::malformed, run(model, 3)), "none of 6 images could be evaluated"));
}

TEST_CASE_FIXTURE(coco_photos::CocoPhotos,
                  "boxes and masks of shards merge to those of the whole run, bit for bit") {
  for (const char* name : {"maskrcnn_resnet(1,1,1,1)_fpn", "fasterrcnn_resnet(1,1,1,1)_fpn"}) {
    CAPTURE(name);
    const Model model = network(name);
    const DetectedCoco whole = detect_coco(model, images, folder.path(), classes, options());
    REQUIRE(whole.results.detections.size() > 10);
    for (const std::size_t count : {1U, 2U, 7U, 100U}) {
      CAPTURE(count);
      std::vector<std::string> states;
      for (std::size_t number = 1; number <= count; ++number) {
        DetectCocoOptions o = options();
        o.shard = {number, count};
        o.state = folder / ("shard " + std::to_string(number));
        o.model = "net.pth";
        std::filesystem::remove(o.state);
        DetectCocoCallbacks once;
        once.stop = [asked = 0]() mutable { return asked++ == 1; };
        detect_coco(model, images, folder.path(), classes, o, once);
        detect_coco(model, images, folder.path(), classes, o);
        states.push_back(o.state);
      }
      const DetectionsOfState of = run_of_state(states.back());
      CHECK(of.run.model == "net.pth");
      CHECK(of.run.architecture == model.architecture);
      CHECK(of.run.masks == model.has_masks());
      CHECK(of.run.classes.category == classes.category);
      CHECK(of.images == images.size());
      const DetectedCoco merged = merge_detections(states, false, images);
      CHECK(merged.images == whole.images);
      CHECK(merged.failed == whole.failed);
      CHECK(merged.other_classes == whole.other_classes);
      const bool is_same = coco_results_json(merged.results) == coco_results_json(whole.results);
      CHECK(is_same);
      std::vector<CocoImage> others = images;
      others.back().width = 9;
      CHECK(mentions(sentence(ErrorCode::mismatch, [&] { merge_detections(states, false, others); }),
                     "images was 6"));
      states.front() = states.back();
      if (count > 1)
        CHECK(
            mentions(sentence(ErrorCode::mismatch, [&] { merge_detections(states, true, images); }), "both"));
    }
  }
}

}  // namespace atrous::merge_test
