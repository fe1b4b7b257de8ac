// Runs that are interrupted and go on, and the files that they go on from.
#include <nlohmann/json.hpp>

#include "tests/support/evaluate_testing.h"
#include "weights_tools/io/sha256.h"

namespace atrous::evaluation_state_test {

using namespace atrous::evaluate_testing;

namespace {

using Json = nlohmann::ordered_json;

// Stops before the network sees its n-th image.
EvaluateCallbacks stopping_after(int n) {
  EvaluateCallbacks callbacks;
  callbacks.stop = [n, asked = 0]() mutable { return asked++ == n; };
  return callbacks;
}

std::string read_text(const std::string& path) {
  const auto bytes = read_file(path, 1 << 26);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void write_text(const std::string& path, const std::string& text) {
  write_file(path, std::as_bytes(std::span(text)));
}

// A state that somebody made: its checksum fits.
std::string signed_state(const Json& state) {
  const std::string body = state.dump();
  return Json({{"atrous_evaluation", 2},
               {"sha256", sha256_of_bytes(std::as_bytes(std::span(body)))},
               {"state", state}})
      .dump();
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
    CHECK(all.seconds > part.seconds);
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

TEST_CASE_FIXTURE(Resumable, "the state is written while the run goes on, and when it ends with an error") {
  EvaluateOptions o = kept();
  o.save_seconds = 0;
  EvaluateCallbacks callbacks;
  std::size_t seen = 0;
  callbacks.progress = [&](const EvaluateProgress& p) {
    if (p.done > 1) seen = Json::parse(read_text(state))["state"]["images"].size();
    CHECK(seen + 1 == p.done);
    if (p.done == 5) fail(ErrorCode::io, "gone");
  };
  CHECK(sentence(ErrorCode::io, [&] { evaluate(model, open(), o, callbacks); }) == "gone");
  CHECK(Json::parse(read_text(state))["state"]["images"].size() == 5);
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

TEST_CASE_FIXTURE(Resumable, "a damaged state is refused, whichever byte it is") {
  evaluate(model, open(), kept(), stopping_after(3));
  const std::string good = read_text(state);
  for (std::size_t i = 0; i + 1 < good.size(); i += 1 + i / 40) {
    if (std::isspace(static_cast<unsigned char>(good[i]))) continue;
    std::string bad = good;
    bad[i] = bad[i] == '1' ? '2' : '1';
    write_text(state, bad);
    const std::string said = refusal(ErrorCode::malformed, kept());
    CHECK_MESSAGE(said.starts_with(state), "byte ", i, ": ", said);
  }
  for (const std::size_t length : {std::size_t{0}, std::size_t{1}, good.size() / 2, good.size() - 3}) {
    write_text(state, good.substr(0, length));
    CHECK(mentions(refusal(ErrorCode::malformed, kept()), "not the state of an evaluation"));
  }
  write_text(state, std::string(100'000, '['));
  CHECK(mentions(refusal(ErrorCode::malformed, kept()), "deep"));
  write_text(state, good);
  evaluate(model, open(), kept());
}

TEST_CASE_FIXTURE(Resumable, "a state that contradicts itself is refused, though its checksum fits") {
  evaluate(model, open(), kept(), stopping_after(3));
  const Json good = Json::parse(read_text(state))["state"];
  const auto refused = [&](const char* what, auto change) {
    Json bad = good;
    change(bad);
    write_text(state, signed_state(bad));
    const std::string said = refusal(ErrorCode::malformed, kept());
    CHECK_MESSAGE(mentions(said, what), what, ": ", said);
  };
  refused("images", [](Json& s) { s.erase("images"); });
  refused("images", [](Json& s) { s["images"] = 3; });
  refused("pixels", [](Json& s) { s["images"].erase(0); });
  refused("counts 9 images", [](Json& s) {
    while (s["images"].size() < 9) s["images"].push_back(s["images"][0]);
  });
  refused("confusion has 24", [](Json& s) { s["confusion"].erase(0); });
  refused("confusion is -1", [](Json& s) { s["confusion"][3] = -1; });
  refused("confusion is 18446744073709551615", [](Json& s) { s["confusion"][3] = ~std::uint64_t{0}; });
  refused("confusion is 1.5", [](Json& s) { s["confusion"][3] = 1.5; });
  refused("confusion is \"7\"", [](Json& s) { s["confusion"][3] = "7"; });
  refused("scores", [](Json& s) { s["scores"] = nullptr; });
  refused("positives", [](Json& s) { s["scores"]["positives"].push_back(0); });
  refused("cross_entropy", [](Json& s) { s["scores"]["cross_entropy"] = "one"; });
  refused("cross_entropy", [](Json& s) { s["scores"]["cross_entropy"] = 1.0; });
  refused("width", [](Json& s) { s["images"][0]["width"] = 0; });
  refused("pixels", [](Json& s) { s["images"][0]["pixels"] = 1'000'000'000; });
  refused("class", [](Json& s) { s["images"][0]["iou"][0][0] = 5; });
  refused("pair", [](Json& s) { s["images"][0]["iou"][0] = 5; });
  refused("mean_iou", [](Json& s) { s["images"][0].erase("mean_iou"); });
  refused("failed", [](Json& s) { s["images"][2]["failed"] = 1; });
  refused("width", [](Json& s) { s["images"][2] = Json::object(); });
  refused("identity", [](Json& s) { s["identity"] = "me"; });
  refused("identity", [](Json& s) { s["identity"][0] = "me"; });
  refused("seconds", [](Json& s) { s["seconds"] = "1.8p+"; });
  refused("forms has 2", [](Json& s) { s["forms"].erase(0); });
  refused("forms is -1", [](Json& s) { s["forms"][1] = -1; });
  refused("binary is unexpected", [](Json& s) { s["binary"] = Json::object(); });
  refused("has no binary", [](Json& s) { s.erase("binary"); });
  write_text(state, signed_state(good));
  evaluate(model, open(), kept());
  // Version 1 did not keep how labels were read.
  write_text(state, R"({"atrous_evaluation": 1})");
  CHECK(mentions(refusal(ErrorCode::malformed, kept()), "version 1"));
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

TEST_CASE_FIXTURE(BinaryMasks, "a state whose two readings contradict each other is refused") {
  evaluate(two, open(), kept(), stopping_after(3));
  const Json good = Json::parse(read_text(state))["state"];
  const auto refused = [&](const char* what, auto change) {
    Json bad = good;
    change(bad["binary"]);
    write_text(state, signed_state(bad));
    const std::string said = sentence(ErrorCode::malformed, [&] { evaluate(two, open(), kept()); });
    CHECK_MESSAGE(mentions(said, what), what, ": ", said);
  };
  refused("binary counts 1 images, expected 2", [](Json& b) { b["images"].erase(0); });
  refused("pixels", [](Json& b) { b["confusion"][0] = 1; });
  refused("confusion has 3", [](Json& b) { b["confusion"].erase(0); });
  refused("zeros is 2", [](Json& b) { b["zeros"] = 2; });
  refused("has no foreground", [](Json& b) { b.erase("foreground"); });
  refused("scores are missing", [](Json& b) { b["scores"] = nullptr; });
}

TEST_CASE_FIXTURE(Resumable, "a state that cannot be written or read is an error with its name") {
  EvaluateOptions o = kept();
  o.state = folder / "none/run.state";
  CHECK(mentions(refusal(ErrorCode::io, o), o.state));
  o.state = folder.path();
  CHECK(mentions(refusal(ErrorCode::io, o), o.state));
}

TEST_CASE("every double comes back from a state to the bit") {
  const TemporaryFolder folder;
  const std::string path = folder / "state";
  Evaluation e;
  e.confusion = ConfusionMatrix(2);
  e.scores = ScoreHistogram(2);
  Evaluation empty = e;
  e.confusion.counts = {5, 1, 0, 3};
  e.scores.all[3] = 7;
  e.scores.positives[3] = 2;
  e.scores.cross_entropy = 0.1 + 0.2;
  e.seconds = 1e-310;
  ImageScore s;
  s.name = "x\xff";
  s.width = s.height = 3;
  s.pixels = 9;
  s.pixel_accuracy = 1.0 / 3;
  s.cross_entropy = std::numeric_limits<double>::infinity();
  s.iou = {{0, 5.0 / 6}, {1, 0.75}};
  s.seconds = 123456.789;
  e.images = {s};
  e.failed = {{"y", "it broke"}};
  const std::vector<std::string> names{"y", "x\xff", "z"};
  const RunIdentity identity{{"folder", "no UTF-8: \xff"}};
  save_evaluation(path, identity, names, e);
  load_evaluation(path, identity, names, empty);
  CHECK(empty.confusion == e.confusion);
  CHECK(empty.scores == e.scores);
  CHECK(empty.images == e.images);
  CHECK(empty.failed == e.failed);
  CHECK(empty.seconds == e.seconds);
}

}  // namespace atrous::evaluation_state_test
