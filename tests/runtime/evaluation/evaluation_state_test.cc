// Runs that are interrupted and go on, and the journals that they go on from.
#include "runtime/evaluation/evaluation_state.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <functional>
#include <limits>
#include <optional>

#include "tests/support/evaluate_testing.h"
#include "tests/support/journal_testing.h"

namespace atrous::evaluation_state_test {

using namespace atrous::evaluate_testing;
using namespace atrous::journal_testing;
using Json = journal_testing::Json;

namespace {

// Stops before the network sees its n-th image.
EvaluateCallbacks stopping_after(int n) {
  EvaluateCallbacks callbacks;
  callbacks.stop = [n, asked = 0]() mutable { return asked++ == n; };
  return callbacks;
}

struct Resumable : Pairs {
  const std::string state = folder / "run.state";
  EvaluateOptions kept() const {
    EvaluateOptions o = options();
    o.state = state;
    o.identity = {{"model", "one"}, {"set", "val"}};
    return o;
  }
  // With a broken image in the middle.
  Resumable() { write_file(photo_path(2), std::as_bytes(std::span("no picture", 10))); }

  std::string refusal(ErrorCode code, const EvaluateOptions& o) const {
    return sentence(code, [&] { evaluate(model, open(), o); });
  }
};

}  // namespace

TEST_CASE_FIXTURE(Resumable, "wherever a run was stopped, it goes on to the same numbers") {
  const Evaluation whole = evaluate(model, open(), options());
  CHECK(whole.failed.size() == 1);
  for (int stop = 0; stop <= 6; ++stop) {
    CAPTURE(stop);
    std::filesystem::remove(state);
    const Evaluation part = evaluate(model, open(), kept(), stopping_after(stop));
    CHECK(part.images.size() + part.failed.size() == static_cast<std::size_t>(stop));
    std::vector<std::string> done;
    EvaluateCallbacks callbacks;
    callbacks.progress = [&](const EvaluateProgress& p) {
      done.push_back(p.name);
      CHECK(p.done_here == done.size());
      CHECK(p.done == done.size() + static_cast<std::size_t>(stop));
    };
    const Evaluation all = evaluate(model, open(), kept(), callbacks);
    check_same(all, whole);
    CHECK(all.seconds > 0);
    CHECK(done == std::vector(names.begin() + stop, names.end()));  // nothing is done twice
  }
}

TEST_CASE_FIXTURE(Resumable, "a run of one image at a time ends with the same numbers") {
  const Evaluation whole = evaluate(model, open(), options());
  Evaluation e;
  for (std::size_t i = 0; i < names.size(); ++i) {
    e = evaluate(model, open(), kept(), stopping_after(1));
    CHECK(e.images.size() + e.failed.size() == i + 1);
  }
  check_same(e, whole);
  check_same(evaluate(model, open(), kept()), whole);  // nothing left to do
}

TEST_CASE_FIXTURE(Resumable, "a run without scores goes on too") {
  EvaluateOptions o = kept();
  o.scores = false;
  o.void_class = true;
  evaluate(model, open(), o, stopping_after(4));
  const Evaluation resumed = evaluate(model, open(), o);
  o.state = "";
  check_same(resumed, evaluate(model, open(), o));
}

TEST_CASE_FIXTURE(Resumable, "each image is in the state as soon as it is scored, however the run ends") {
  EvaluateCallbacks callbacks;
  callbacks.progress = [&](const EvaluateProgress& p) {
    CHECK(records_in(state) == p.done);
    if (p.done == 5) fail(ErrorCode::io, "gone");
  };
  CHECK(sentence(ErrorCode::io, [&] { evaluate(model, open(), kept(), callbacks); }) == "gone");
  CHECK(records_in(state) == 5);
  check_same(evaluate(model, open(), kept()), evaluate(model, open(), options()));
}

TEST_CASE_FIXTURE(Resumable, "a strict run that was ended by a broken image goes on once it is mended") {
  EvaluateOptions o = kept();
  o.strict = true;
  CHECK(mentions(refusal(ErrorCode::unsupported, o), photo_path(2)));
  write_file(photo_path(2), encode_png(photo(48, 32, 3)));
  const Evaluation e = evaluate(model, open(), o);
  CHECK(e.failed.empty());
  check_same(e, evaluate(model, open(), options()));
}

TEST_CASE_FIXTURE(Resumable, "the state of another run is refused, naming what differs") {
  evaluate(model, open(), kept(), stopping_after(2));
  const std::string before = read_text(state);
  const auto differs = [&](const char* what, auto change) {
    CAPTURE(what);
    EvaluateOptions o = kept();
    change(o);
    const std::string said = refusal(ErrorCode::mismatch, o);
    CHECK_MESSAGE(said.starts_with(state), said);
    CHECK_MESSAGE(mentions(said, what), said);
  };
  differs("model was one, is two", [](EvaluateOptions& o) { o.identity[0].second = "two"; });
  differs("folder was nothing, is val", [](EvaluateOptions& o) { o.identity[1].first = "folder"; });
  differs("set was val, is nothing", [](EvaluateOptions& o) { o.identity.pop_back(); });
  differs("network input was shorter side 40", [](EvaluateOptions& o) { o.resize->width = 44; });
  differs("compared at was input, is original", [](EvaluateOptions& o) { o.at_original = true; });
  differs("scores was yes, is no", [](EvaluateOptions& o) { o.scores = false; });
  differs("void was left out, is class 5", [](EvaluateOptions& o) { o.void_class = true; });
  differs("EXIF", [](EvaluateOptions& o) { o.exif = false; });
  differs("class map",
          [&](EvaluateOptions& o) { o.classes = read_class_map("* = 4\n", "map", {}, model.classes); });
  Model bgr = model;
  bgr.preparation.order = ChannelOrder::bgr;
  CHECK(mentions(sentence(ErrorCode::mismatch, [&] { evaluate(bgr, open(), kept()); }),
                 "normalisation was nothing, is BGR of 0 to 1"));
  Dataset shorter = open();
  shorter.samples.pop_back();
  CHECK(mentions(sentence(ErrorCode::mismatch, [&] { evaluate(model, shorter, kept()); }), "samples was 6"));
  CHECK(read_text(state) == before);  // and left as it was
}

TEST_CASE_FIXTURE(Resumable, "threads and strictness may differ between the parts of a run") {
  const Evaluation whole = evaluate(model, open(), options());
  evaluate(model, open(), kept(), stopping_after(4));
  EvaluateOptions o = kept();
  o.session.threads = 3;
  o.strict = true;  // the broken image is behind it
  check_same(evaluate(model, open(), o), whole);
}

TEST_CASE_FIXTURE(Resumable, "a state that ends anywhere goes on from its whole lines to the same numbers") {
  const Evaluation whole = evaluate(model, open(), kept());
  const std::string all = read_text(state);
  for (std::size_t length = 0; length < all.size(); length += length < 30 ? 5 : all.size() / 25) {
    CAPTURE(length);
    write_text(state, all.substr(0, length));
    const auto lines = std::ranges::count(all.substr(0, length), '\n');
    std::size_t seen = 0;
    EvaluateCallbacks callbacks;
    callbacks.progress = [&](const EvaluateProgress&) { ++seen; };
    check_same(evaluate(model, open(), kept(), callbacks), whole);
    CHECK(seen == names.size() - static_cast<std::size_t>(std::max<std::ptrdiff_t>(lines - 1, 0)));
    CHECK(records_in(state) == names.size());
  }
}

TEST_CASE_FIXTURE(Resumable, "a damaged line is refused, the last one dropped") {
  const Evaluation whole = evaluate(model, open(), kept());
  const std::string good = read_text(state);
  const std::size_t last = good.rfind('\n', good.size() - 2) + 1;
  for (std::size_t i = 0; i < good.size(); i += 1 + i / 20) {
    CAPTURE(i);
    std::string bad = good;
    bad[i] = bad[i] == '1' ? '2' : '1';
    write_text(state, bad);
    if (i >= last)
      check_same(evaluate(model, open(), kept()), whole);
    else
      CHECK(refusal(ErrorCode::malformed, kept()).starts_with(state));
  }
  for (const char* other : {"no state", "{\"crc32\":\"12345678\",\"atrous_journal\":1}\n", "\n"}) {
    write_text(state, other);
    CHECK(refusal(ErrorCode::malformed, kept()).starts_with(state));
  }
  // What an earlier version wrote.
  write_text(state, R"({"atrous_evaluation": 2, "sha256": "00", "state": {}})");
  CHECK(mentions(refusal(ErrorCode::malformed, kept()), "an earlier version"));
  write_text(state, signed_line(R"({"atrous_journal":2})"));
  CHECK(mentions(refusal(ErrorCode::malformed, kept()), "atrous_journal is 2"));
  write_text(state, "{\"crc32");  // a head that was not finished: nothing is lost by beginning anew
  check_same(evaluate(model, open(), kept()), whole);
}

TEST_CASE_FIXTURE(Resumable, "a state that contradicts itself is refused, though its checksums fit") {
  evaluate(model, open(), kept(), stopping_after(4));
  const std::string good = read_text(state);
  const auto refused = [&](const char* what, std::size_t line, const std::function<void(Json&)>& change) {
    write_text(state, changed_line(good, line, change));
    const std::string said = refusal(ErrorCode::malformed, kept());
    CHECK_MESSAGE(said.starts_with(state), said);
    CHECK_MESSAGE(mentions(said, what), what, ": ", said);
  };
  refused("identity", 0, [](Json& h) { h["identity"] = "me"; });
  refused("identity", 0, [](Json& h) { h["identity"][0] = "me"; });
  refused("shard is no pair", 0, [](Json& h) { h["shard"].push_back(1); });
  refused("shard is 3, expected 1 to 2", 0, [](Json& h) { h["shard"] = {3, 2}; });
  refused("kind", 0, [](Json& h) { h.erase("kind"); });
  refused("has image b in the place of a", 1, [](Json& r) { r["name"] = "b"; });
  refused("two digits after each %", 1, [](Json& r) { r["name"] = "%4"; });
  refused("took", 1, [](Json& r) { r["took"] = "1.8p+"; });
  refused("took", 1, [](Json& r) { r.erase("took"); });
  refused("seen has 2 entries", 1, [](Json& r) { r["seen"].erase(0); });
  refused("seen is 2", 1, [](Json& r) { r["seen"][0] = 2; });
  refused("forms has 2 entries", 1, [](Json& r) { r["forms"].erase(0); });
  refused("forms is -1", 1, [](Json& r) { r["forms"][1] = -1; });
  refused("confusion has ", 1, [](Json& r) { r["confusion"].erase(0); });
  refused("confusion has more than 25", 1, [](Json& r) { r["confusion"].push_back(1); });
  refused("confusion is -26", 1, [](Json& r) { r["confusion"][0] = -26; });
  refused("confusion is 18446744073709551615", 1, [](Json& r) { r["confusion"][0] = ~std::uint64_t{0}; });
  refused("confusion is 1.5", 1, [](Json& r) { r["confusion"][0] = 1.5; });
  refused("confusion is \"7\"", 1, [](Json& r) { r["confusion"][0] = "7"; });
  refused("pixels, its image", 1, [](Json& r) { r["image"]["pixels"] = 1; });
  refused("scores are missing", 1, [](Json& r) { r["scores"] = nullptr; });
  refused("positives", 1, [](Json& r) { r["scores"]["positives"].push_back(1); });
  refused("cross_entropy", 1, [](Json& r) { r["scores"]["cross_entropy"] = "one"; });
  refused("cross_entropy", 1, [](Json& r) { r["scores"]["cross_entropy"] = 1.0; });
  refused("width", 1, [](Json& r) { r["image"]["width"] = 0; });
  refused("class", 1, [](Json& r) { r["image"]["iou"][0][0] = 5; });
  refused("pair", 1, [](Json& r) { r["image"]["iou"][0] = 5; });
  refused("mean_iou", 1, [](Json& r) { r["image"].erase("mean_iou"); });
  refused("has no foreground", 1, [](Json& r) { r.erase("foreground"); });
  refused("failed is not a text", 3, [](Json& r) { r["failed"] = 1; });
  write_text(state, good + last_line(good) + last_line(good) + last_line(good));
  CHECK(mentions(refusal(ErrorCode::malformed, kept()), "has image d in the place of e"));
  write_text(state, good);
  evaluate(model, open(), kept());
  const std::string whole = read_text(state);
  write_text(state, whole + last_line(whole));
  CHECK(mentions(refusal(ErrorCode::malformed, kept()), "more than the 6 images of its shard"));
}

TEST_CASE_FIXTURE(Resumable, "a state that another process is at work on is refused") {
  evaluate(model, open(), kept(), stopping_after(2));
  const int other = ::open(state.c_str(), O_RDWR | O_CLOEXEC);
  REQUIRE(::flock(other, LOCK_EX) == 0);
  CHECK(mentions(refusal(ErrorCode::io, kept()), "another process"));
  ::close(other);
  check_same(evaluate(model, open(), kept()), evaluate(model, open(), options()));
}

namespace {

// Two classes, and masks of 0 and 255.
struct BinaryMasks : Resumable {
  const Model two = make_model(seeded_state("deeplabv3_resnet(1,1,1,1)", {.classes = 2, .width = 8}),
                               std::nullopt, {.threads = 1});
  BinaryMasks() {
    for (std::size_t i = 0; i < names.size(); ++i) {
      LabelMap map = read_labels_file(label_path(i));
      for (std::uint8_t& label : map.labels) label = label == 255 || label > 2 ? 255 : 0;
      write_labels(label_path(i), map);
    }
  }
};

}  // namespace

TEST_CASE_FIXTURE(BinaryMasks, "both readings of masks of 0 and 255 survive an interruption") {
  const Evaluation whole = evaluate(two, open(), options());
  CHECK(whole.binary_masks);
  for (const int stop : {0, 1, 3, 6}) {
    CAPTURE(stop);
    std::filesystem::remove(state);
    evaluate(two, open(), kept(), stopping_after(stop));
    const Evaluation all = evaluate(two, open(), kept());
    CHECK(all.binary_masks);
    check_same(all, whole);
  }
  // The last mask has a 1: 255 is void in all of them, in those that were counted before, too.
  LabelMap map = read_labels_file(label_path(5));
  map.labels[0] = 1;
  write_labels(label_path(5), map);
  std::filesystem::remove(state);
  evaluate(two, open(), kept(), stopping_after(3));
  const Evaluation all = evaluate(two, open(), kept());
  CHECK(!all.binary_masks);
  check_same(all, evaluate(two, open(), options()));
}

TEST_CASE_FIXTURE(Resumable, "a state that cannot be written or read is an error with its name") {
  EvaluateOptions o = kept();
  o.state = folder / "none/run.state";
  CHECK(mentions(refusal(ErrorCode::io, o), o.state));
  o.state = folder.path();
  CHECK(mentions(refusal(ErrorCode::io, o), o.state));
}

TEST_CASE("every double and every name comes back from a record to the bit") {
  const std::string path = "state";
  Evaluation empty;
  empty.confusion = ConfusionMatrix(2);
  empty.scores = ScoreHistogram(2);
  empty.classes = {"a", "b"};
  EvaluatedImage image;
  image.name = "x\xff % \n\u00e9";
  image.seconds = 1e-310;
  image.seen = {true, false, true};
  image.forms = {1, 0, 1};
  image.counts.confusion = image.counts.sharpened = ConfusionMatrix(2);
  image.counts.confusion.counts = {0, 1, 0, 8};
  image.counts.scores = ScoreHistogram(2);
  image.counts.scores.all[3] = 7;
  image.counts.scores.positives[2047] = 2;
  image.counts.scores.cross_entropy = 0.1 + 0.2;
  ImageScore& s = image.counts.score;
  s.name = image.name;
  s.width = s.height = 3;
  s.pixels = 9;
  s.pixel_accuracy = 1.0 / 3;
  s.cross_entropy = std::numeric_limits<double>::infinity();
  s.iou = {{0, 5.0 / 6}, {1, 0.75}};
  s.seconds = 123456.789;
  image.foreground = image.counts;
  image.foreground->confusion.counts = {2, 3, 4, 0};
  const auto read_back = [&](const EvaluatedImage& from) {
    const std::optional<atrous::Json> json = parse_json(evaluation_record(from).text, 8, "record");
    REQUIRE(json);
    return EvaluationReader{{path}}.image(*json, empty);
  };
  const EvaluatedImage read = read_back(image);
  CHECK(read.name == image.name);
  CHECK(read.seconds == image.seconds);
  CHECK(read.seen == image.seen);
  CHECK(read.forms == image.forms);
  for (const auto& [a, b] :
       {std::pair{&read.counts, &image.counts}, {&*read.foreground, &*image.foreground}}) {
    CHECK(a->score == b->score);
    CHECK(a->confusion == b->confusion);
    CHECK(a->scores == b->scores);
  }
  EvaluatedImage failed;
  failed.name = "y";
  failed.failed = "it\nbroke: \xff";
  CHECK(read_back(failed).failed == failed.failed);
}

}  // namespace atrous::evaluation_state_test
