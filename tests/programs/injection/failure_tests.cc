// What the library does when memory or the disk gives out, at every single call: it says so by an exception,
// leaks nothing, leaves no half of a file, and can be used again.
#include <fcntl.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>

#include "runtime/drawing/lettering.h"
#include "runtime/drawing/pictures.h"
#include "runtime/evaluation/merge.h"
#include "runtime/image/jpeg.h"
#include "runtime/image/palette.h"
#include "runtime/report/report.h"
#include "runtime/tiles/png_label_rows.h"
#include "runtime/tiles/png_rows.h"
#include "runtime/tiles/png_writer.h"
#include "runtime/tiles/tiled.h"
#include "tests/programs/injection/failures.h"
#include "tests/support/detection_report_testing.h"
#include "tests/support/evaluate_testing.h"
#include "tests/support/image_bytes.h"
#include "tests/support/sanitizers.h"
#include "tests/support/weights_helpers.h"
#include "weights_tools/checkpoint.h"
#include "weights_tools/safetensors/safetensors.h"

using namespace atrous;
using namespace atrous::evaluate_testing;
using namespace atrous::injection;
namespace weights = atrous::weights_testing;
namespace fs = std::filesystem;

namespace {

using Files = std::map<std::string, std::string>;  // what lies in a folder, by relative path

Files files_in(const std::string& folder) {
  Files files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream file(entry.path(), std::ios::binary);
    files[fs::relative(entry.path(), folder).string()] = {std::istreambuf_iterator<char>(file), {}};
  }
  return files;
}

void restore(const std::string& folder, const Files& files) {
  fs::remove_all(folder);
  fs::create_directory(folder);
  for (const auto& [name, bytes] : files) {
    fs::create_directories((fs::path(folder) / name).parent_path());
    std::ofstream(fs::path(folder) / name, std::ios::binary) << bytes;
  }
}

std::ptrdiff_t open_descriptors() { return std::distance(fs::directory_iterator("/proc/self/fd"), {}); }

// What is done again and again. It reads `in` and writes `out`, and returns what it computed.
struct Operation {
  std::function<std::string()> run;
  std::string in = {}, out = {};
  // A file whose bytes are never twice the same, since they hold times.
  std::string timed = {};
  // libwebp takes some of its allocations that fail for a corrupt picture.
  bool by_libwebp = false;
};

// Every call fails in turn; where there are very many, only so many of them, spread evenly, unless all are
// asked for. The first ones always.
std::vector<std::int64_t> positions(std::int64_t calls) {
  constexpr std::int64_t first = ATROUS_ADDRESS_SANITIZER ? 30 : 60,
                         most = ATROUS_ADDRESS_SANITIZER ? 40 : 300;
  const std::int64_t step = std::getenv("ATROUS_EVERY_FAILURE") ? 1 : std::max<std::int64_t>(calls / most, 1);
  std::vector<std::int64_t> all;
  for (std::int64_t n = 1; n <= calls + 1; n += n < first ? 1 : step) all.push_back(n);
  return all;
}

// The files that were there are whole, old or new; no others came but those that belong to the result.
void check_whole(const Operation& operation, const Files& now, const Files& before, const Files& complete) {
  for (const auto& old : before) CHECK_MESSAGE(now.contains(old.first), old.first, " is gone");
  for (const auto& file : now) {
    const auto& name = file.first;
    const auto& bytes = file.second;
    REQUIRE_MESSAGE((complete.contains(name) || before.contains(name)), name, " was left behind");
    if (name == operation.timed) continue;
    const bool as_before = before.contains(name) && before.at(name) == bytes;
    const bool whole = as_before || (complete.contains(name) && complete.at(name) == bytes);
    CHECK_MESSAGE(whole, name, " is neither the old nor the new one");
  }
}

void check_same(const Operation& operation, Files a, Files b) {
  a.erase(operation.timed);
  b.erase(operation.timed);
  CHECK(a == b);
}

void check_kind(const Operation& operation, Kind kind, const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const Error& error) {
    CAPTURE(error.what());
    if (kind == Kind::allocation) {
      const bool taken_for_corrupt = operation.by_libwebp && error.code() == ErrorCode::malformed;
      CHECK((error.code() == ErrorCode::limit || taken_for_corrupt));
      return;
    }
    CHECK(error.code() == ErrorCode::io);
    CHECK(mentions(error.what(), "Input/output error"));
    const bool names_it = (!operation.in.empty() && mentions(error.what(), operation.in)) ||
                          (!operation.out.empty() && mentions(error.what(), operation.out));
    CHECK_MESSAGE(names_it, error.what());
  } catch (const std::exception& error) {
    FAIL_CHECK("not an Error: ", std::string(error.what()));
  }
}

// Returns how many of the failures were thrown.
std::size_t check_every_failure(const Operation& operation, Kind kind, Lasting lasting = Lasting::no) {
  const Files before = operation.out.empty() ? Files{} : files_in(operation.out);
  const auto look = [&] { return operation.out.empty() ? Files{} : files_in(operation.out); };
  const auto rewind = [&] {
    if (!operation.out.empty()) restore(operation.out, before);
  };
  const std::string expected = operation.run();
  const Files complete = look();
  rewind();
  std::int64_t calls = 0;
  {
    const Failing counting(kind, std::int64_t{1} << 60);
    CHECK(operation.run() == expected);
    calls = counting.calls();
  }
  REQUIRE(calls > 0);
  std::size_t failed = 0;
  for (const std::int64_t n : positions(calls)) {
    CAPTURE(n);
    rewind();
    const std::ptrdiff_t descriptors = open_descriptors();
    const std::int64_t live = live_allocations();
    {
      std::exception_ptr thrown;
      std::string found;
      bool happened = false;
      {
        const Failing failing(kind, n, lasting);
        try {
          found = operation.run();
        } catch (...) {
          thrown = std::current_exception();
        }
        happened = failing.happened();
      }
      CHECK((happened || !thrown));
      if (thrown) check_kind(operation, kind, thrown);
      // What does not throw could do without: its result is the whole one.
      if (!thrown) CHECK(found == expected);
      if (!thrown) check_same(operation, look(), complete);
      failed += thrown ? 1 : 0;
    }
    CHECK(live_allocations() == live);
    CHECK(open_descriptors() == descriptors);
    check_whole(operation, look(), before, complete);
    CHECK(operation.run() == expected);
    check_same(operation, look(), complete);
  }
  CHECK(failed > 0);
  MESSAGE(calls, " calls, ", failed, " failures");
  rewind();
  return failed;
}

// Once, and from the n-th call on for good; calls of both kinds.
void check_every_failure(const Operation& operation) {
  for (const Lasting lasting : {Lasting::no, Lasting::yes}) {
    CAPTURE(lasting);
    check_every_failure(operation, Kind::allocation, lasting);
    check_every_failure(operation, Kind::file_call, lasting);
  }
}

std::string as_string(std::span<const std::byte> bytes) { return std::string(as_text(bytes)); }

// Names, shapes and values.
std::string content_of(const StateDict& state) {
  const Unfailing unfailing;
  std::string all;
  for (const auto& [name, tensor] : state.entries()) {
    all += name + ':';
    for (const std::int64_t d : tensor.shape) all += str_cat(d, ' ');
    all += as_string(tensor.bytes());
  }
  return all;
}

std::string content_of(const Segmentation& s) {
  const Unfailing unfailing;
  std::string all(s.labels.labels.begin(), s.labels.labels.end());
  return all + as_string(std::as_bytes(std::span(s.confidence))) +
         as_string(std::as_bytes(s.logits.values()));
}

// All but the seconds.
std::string content_of(const Evaluation& e) {
  const Unfailing unfailing;
  std::string all = as_string(std::as_bytes(std::span(e.confusion.counts))) +
                    as_string(std::as_bytes(std::span(e.scores.all))) +
                    as_string(std::as_bytes(std::span(e.scores.positives)));
  for (const ImageScore& image : e.images)
    all +=
        str_cat(image.name, ' ', image.pixels, ' ', image.mean_iou.value_or(-1), ' ', image.iou.size(), '\n');
  for (const auto& [name, failure] : e.failed) all += name + failure;
  return all;
}

// A folder to read from and one to write to, which holds something already.
struct Folders {
  TemporaryFolder folder;
  std::string in = folder / "in", out = folder / "out", result = out + "/result";
  Folders() {
    fs::create_directory(in);
    fs::create_directory(out);
    std::ofstream(out + "/result") << "the old content";
    std::ofstream(out + "/bystander") << "another file";
  }
  std::string save(const std::string& name, std::string_view bytes) const {
    write_file(in + '/' + name, as_bytes(bytes));
    return in + '/' + name;
  }
  Operation loading(const std::string& path) const {
    return {.run = [path] { return content_of(load_checkpoint(path).state); }, .in = in};
  }
};

StateDict small_state() {
  StateDict state;
  for (const char* name : {"module.a.weight", "module.a.bias", "module.b.weight"})
    state.add(name, [] {
      const auto values = std::make_shared<const std::vector<float>>(12, 1.5f);
      return StateTensor{DType::f32, {3, 4}, {values, reinterpret_cast<const std::byte*>(values->data())}};
    }());
  return state;
}

Metadata small_metadata() {
  Metadata m;
  m.architecture = "fcn_resnet50";
  m.classes = {"a class with a long name", "and one with another"};
  m.palette = {{0, 0, 0}, {128, 64, 128}};
  m.preparation.resize = {.kind = ResizeRule::Kind::exact, .width = 480, .height = 360, .center_crop = 224};
  m.source = "a-model-with-a-long-name.pth";
  m.self_test = SelfTest{.height = 65, .width = 97, .logits = {{0, -1.25f}, {5, 0.1f}}, .largest = 3};
  return m;
}

const weights::Bytes six = weights::floats({0, 1, 2, 3, 4, 5});

weights::Bytes small_pickle() {
  using namespace weights;
  return pickled(dict({{"module.w", tensor(storage("0", 6), 0, {2, 3}, {3, 1})},
                       {"module.t", tensor(storage("0", 6), 0, {3, 2}, {1, 3})}}));
}

const ResizeRule as_it_is{.kind = ResizeRule::Kind::none, .width = 0};

}  // namespace

// A stream that cannot grow would rather end there.
TEST_CASE("a sentence that there is no memory for is not cut short") {
  const std::string part(600, 'x');
  check_every_failure({.run =
                           [&] {
                             return str_cat("a sentence longer than any short string: ", 12345, " and ", part,
                                            ", ", 0.5, " at its end");
                           }},
                      Kind::allocation);
}

TEST_CASE_FIXTURE(Folders, "a zip checkpoint that cannot be loaded says so") {
  check_every_failure(loading(save("a.pth", weights::pth_zip(small_pickle(), {{"0", six}}))));
}

TEST_CASE_FIXTURE(Folders, "a legacy checkpoint that cannot be loaded says so") {
  using namespace weights;
  check_every_failure(
      loading(save("a.pth", legacy_head() + small_pickle() + key_list({"0"}) + stored(6, six))));
}

TEST_CASE_FIXTURE(Folders, "a .safetensors checkpoint that cannot be loaded says so") {
  SUBCASE("without metadata") { write_safetensors(in + "/a", small_state(), {}); }
  SUBCASE("with metadata") { write_safetensors(in + "/a", small_state(), to_strings(small_metadata())); }
  check_every_failure(loading(in + "/a"));
}

TEST_CASE_FIXTURE(Folders, "a file is replaced whole or not at all, on every kind of file system") {
  const std::string bytes(100'000, 'x');
  const Operation writing{.run =
                              [&] {
                                write_file(result, as_bytes(bytes));
                                return std::string();
                              },
                          .out = out};
  // A call for want of which there is another way may fail; writing, closing and naming the file may not.
  SUBCASE("with files without a name") {
    check_every_failure(writing);
    // write, linkat where it belongs, linkat beside it, close, rename
    CHECK(check_every_failure(writing, Kind::file_call) == 5);
  }
  SUBCASE("without them") {
    const Pretend pretend({.unnamed_files = false});
    check_every_failure(writing);
    CHECK(check_every_failure(writing, Kind::file_call) == 4);  // open, write, close, rename
  }
  SUBCASE("without /proc") {
    const Pretend pretend({.proc = false});
    check_every_failure(writing);
    CHECK(check_every_failure(writing, Kind::file_call) == 4);
  }
  SUBCASE("in small pieces, with interruptions") {
    const Pretend pretend({.whole_writes = false});
    writing.run();
    CHECK(files_in(out).at("result") == bytes);
  }
}

TEST_CASE_FIXTURE(Folders, "a converted checkpoint is written whole or not at all") {
  const StateDict state = small_state();
  const Metadata metadata = small_metadata();
  const auto write = [&](const std::map<std::string, std::string>& with) {
    write_safetensors(result, state, with);
    return std::string();
  };
  check_every_failure({.run = [&] { return write(to_strings(metadata)); }, .out = out});
}

TEST_CASE_FIXTURE(Folders, "pictures are written whole or not at all") {
  const Image picture = photo(24, 16);
  const LabelMap labels = patches(24, 16, 3);
  const std::vector<float> confidence(labels.labels.size(), 0.5f);
  const Palette palette = voc_palette(256);
  const std::vector<LegendEntry> legend{{{1, 2, 3}, "road", "12.3%"}, {{200, 2, 3}, "a long name", "1%"}};
  const std::vector<Panel> panels{{picture, "photo"}, {colourise(labels, palette), "mask"}};
  const auto writing = [&](const std::function<std::vector<std::byte>()>& encoded) {
    check_every_failure({.run =
                             [&] {
                               write_file(result, encoded());
                               return std::string();
                             },
                         .out = out});
  };
  SUBCASE("mask") {
    writing([&] { return encode_png(colourise(labels, palette)); });
  }
  SUBCASE("labels") {
    writing([&] { return encode_png(labels, palette); });
  }
  SUBCASE("overlay") {
    writing([&] { return encode_png(with_legend(overlay(picture, labels, palette), legend)); });
  }
  SUBCASE("cut-out") {
    writing([&] { return encode_png(cutout(picture, labels, 1)); });
  }
  SUBCASE("JPEG") {
    writing([&] { return encode_jpeg(overlay(picture, labels, palette)); });
  }
  SUBCASE("confidence") {
    writing([&] { return encode_png(confidence_picture(confidence, 24, 16)); });
  }
  SUBCASE("sheet") {
    writing([&] { return encode_png(sheet(panels, legend)); });
  }
  SUBCASE("row by row") {
    check_every_failure({.run =
                             [&] {
                               OutputFile file(own([&] { return result; }));
                               PngWriter writer(24, 16, 3,
                                                [&](std::span<const std::byte> more) { file.write(more); });
                               writer.write(picture.pixels);
                               writer.finish();
                               file.commit();
                               return std::string();
                             },
                         .out = out});
  }
}

TEST_CASE_FIXTURE(Folders, "a photo that cannot be read says so") {
  const Image picture = photo(24, 16);
  const auto reading = [&](const std::string& path, bool by_libwebp = false) {
    check_every_failure({.run =
                             [path] {
                               const Image image = read_image_file(path);
                               return own(
                                   [&] { return std::string(image.pixels.begin(), image.pixels.end()); });
                             },
                         .in = in,
                         .by_libwebp = by_libwebp});
  };
  SUBCASE("PNG") { reading(save("a.png", as_text(encode_png(picture)))); }
  SUBCASE("PNG row by row") {
    const std::string path = save("a.png", as_text(encode_png(picture)));
    check_every_failure({.run =
                             [path] {
                               const InputFile file(path);
                               PngRows rows(file, path);
                               std::string pixels = own([] { return std::string(24 * 16 * 3, ' '); });
                               rows.read({reinterpret_cast<std::uint8_t*>(pixels.data()), pixels.size()});
                               return pixels;
                             },
                         .in = in});
  }
  SUBCASE("labels row by row") {
    const std::string path = save("a.png", as_text(encode_png(patches(24, 16, 3), voc_palette(256))));
    check_every_failure({.run =
                             [path] {
                               const InputFile file(path);
                               PngLabelRows rows(file, path);
                               rows.survey(own([] { return LabelColours{.palette = voc_palette(5)}; }));
                               std::string labels = own([] { return std::string(24 * 16, ' '); });
                               rows.read({reinterpret_cast<std::uint8_t*>(labels.data()), labels.size()});
                               return labels;
                             },
                         .in = in});
  }
#if ATROUS_HAS_WEBP
  SUBCASE("WebP") {
    using namespace atrous::testing;
    reading(save("a.webp", as_text(webp(webp_picture(24, 16, 1, 2, 3)))), true);
  }
#endif
  SUBCASE("PNM") {
    reading(
        save("a.ppm", "P6 24 16 255\n" + as_string(std::as_bytes(std::span(std::as_const(picture.pixels))))));
  }
  SUBCASE("labels") {
    const std::string path = save("a.png", as_text(encode_png(patches(24, 16, 3), voc_palette(256))));
    check_every_failure({.run =
                             [path] {
                               const LabelMap map = read_labels_file(path);
                               return own([&] { return std::string(map.labels.begin(), map.labels.end()); });
                             },
                         .in = in});
  }
}

// With two threads the kernels' parallel regions are such: an allocation that failed there would end the
// process.
TEST_CASE("a network that cannot be built or run says so") {
  for (const StateDict& state : {tiny_state("deeplabv3"), tiny_mobilenet_state("lraspp")}) {
    const Image picture = photo(40, 24);
    check_every_failure(
        {.run =
             [&] {
               const Model model = make_model(own([&] { return state; }), std::nullopt, {.threads = 2});
               Session session(model.program, {.threads = 2});
               const std::string whole =
                   content_of(segment(session, model, picture, {.resize = as_it_is, .logits = true}));
               const std::string tiled =
                   content_of(segment_tiled(session, model, picture, {.tiling = {24, 8}}));
               return own([&] { return whole + tiled; });
             }},
        Kind::allocation);
  }
}

TEST_CASE("a session whose run failed can be used on") {
  const Model model = tiny_model("deeplabv3", {.aux = true, .threads = 2});
  const Image small = photo(24, 16), large = photo(56, 40);
  const auto run = [&](Session& session, const Image& image) {
    return content_of(segment(session, model, image, {.resize = as_it_is, .logits = true}));
  };
  Session serial(model.program, {.threads = 1});
  const std::string expected_small = run(serial, small), expected_large = run(serial, large);
  bool happened = true;
  for (std::int64_t n = 1; happened; ++n) {
    CAPTURE(n);
    Session session(model.program, {.threads = 2});
    REQUIRE(run(session, small) == expected_small);
    {
      const Failing failing(Kind::allocation, n);
      try {
        run(session, large);
      } catch (const std::exception&) {
      }
      happened = failing.happened();
    }
    REQUIRE(run(session, large) == expected_large);
    REQUIRE(run(session, small) == expected_small);
  }
}

TEST_CASE("outputs are all there after a run, or none") {
  const Model model = tiny_model("deeplabv3", {.aux = true, .threads = 1});
  const Tensor input = noise({1, 16, 16, 3});
  bool happened = true;
  for (std::int64_t n = 1; happened; ++n) {
    CAPTURE(n);
    Session session(model.program, {.threads = 1});
    bool thrown = false;
    {
      const Failing failing(Kind::allocation, n);
      try {
        session.run(input.view());
      } catch (const std::exception&) {
        thrown = true;
      }
      happened = failing.happened();
    }
    for (const char* name : {"out", "aux"}) {
      if (thrown)
        CHECK(sentence(ErrorCode::invalid_argument, [&] { session.output(name); }) != "");
      else
        CHECK(session.output(name).data != nullptr);
    }
  }
}

namespace {

// Three images of the six, in small.
struct Evaluating : Pairs {
  std::string out = folder / "out", result = out + "/result";
  Dataset dataset = open();
  EvaluateOptions o = options();
  Evaluating() {
    fs::create_directory(out);
    dataset.samples.resize(3);
    o.strict = true;
    o.session.threads = 2;
    o.resize = ResizeRule{.kind = ResizeRule::Kind::shorter_side, .width = 16};
  }
  // With its state and its report.
  std::string evaluate_and_report() {
    own([&] { o.state = out + "/state"; });
    Report report(own([&] { return out + "/report"; }),
                  evaluation_palette(model.classes, own([&] { return model.palette; }), false));
    const auto add = [&](const ScoredImage& image) { report.add(image); };
    Evaluation e = evaluate(model, dataset, o, {.progress = {}, .image = add, .stop = {}});
    e.seconds = 0;
    for (ImageScore& image : e.images) image.seconds = 0;
    report.finish(e);
    return content_of(e);
  }
};

}  // namespace

TEST_CASE_FIXTURE(Evaluating, "an evaluation that runs out of memory says so, whichever thread it was") {
  const Operation evaluating{.run = [&] { return content_of(evaluate(model, dataset, o)); }};
  check_every_failure(evaluating, Kind::allocation);
  check_every_failure(evaluating, Kind::allocation, Lasting::yes);
  o.tiling = Tiling{24, 8};
  o.resize.reset();
  check_every_failure(evaluating, Kind::allocation);
}

// The state is kept when memory gives out in between, and no image may be in a part of it only.
TEST_CASE_FIXTURE(Evaluating, "an evaluation that ran out of memory goes on to the same numbers") {
  const std::string expected = content_of(evaluate(model, dataset, o));
  o.state = out + "/state";
  std::int64_t calls = 0;
  for (int warm = 0; warm < 2; ++warm) {
    fs::remove(o.state);
    const Failing counting(Kind::allocation, std::int64_t{1} << 60);
    evaluate(model, dataset, o);
    calls = counting.calls();
  }
  for (const std::int64_t n : positions(calls)) {
    CAPTURE(n);
    fs::remove(o.state);
    try {
      const Failing failing(Kind::allocation, n);
      evaluate(model, dataset, o);
    } catch (const std::exception&) {
    }
    CHECK(content_of(evaluate(model, dataset, o)) == expected);
  }
}

TEST_CASE_FIXTURE(Evaluating, "states that there is no memory for are merged or refused") {
  o.state = out + "/state";
  evaluate(model, dataset, o);
  const std::vector<std::string> states{o.state};
  check_every_failure({.run = [&] { return content_of(merge_evaluations(states, false)); }, .in = out});
}

TEST_CASE_FIXTURE(Evaluating, "a report that there is no memory for is one of whole files") {
  const Evaluation e = evaluate(model, dataset, o);
  const Image picture = photo(24, 16);
  const LabelMap labels = patches(24, 16, 3);
  const auto png = encode_png(picture);
  check_every_failure(
      {.run =
           [&] {
             Report report(own([&] { return out + "/report"; }),
                           evaluation_palette(model.classes, own([&] { return model.palette; }), false));
             report.add({.name = "An Image",
                         .photo_file = png,
                         .photo = picture,
                         .truth = labels,
                         .prediction = labels});
             report.finish(e);
             return std::string();
           },
       .out = out},
      Kind::allocation);
}

TEST_CASE_FIXTURE(Evaluating, "a report of detections that there is no memory for is one of whole files") {
  const CocoEvaluation e = report_testing::drawn_detections({"An Image"});
  const Image picture = photo(120, 90);
  const auto png = encode_png(picture);
  check_every_failure({.run =
                           [&] {
                             DetectionReport report(own([&] { return out + "/report"; }));
                             for (const std::size_t image : report.begin(e, 1))
                               report.add(image, png, picture);
                             report.finish();
                             return std::string();
                           },
                       .out = out},
                      Kind::allocation);
}

TEST_CASE_FIXTURE(Evaluating, "an evaluation that cannot write goes on from its state to the same numbers") {
  const Operation evaluating{
      .run = [&] { return evaluate_and_report(); }, .in = folder.path(), .out = out, .timed = "state"};
  check_every_failure(evaluating, Kind::file_call);
  check_every_failure(evaluating, Kind::file_call, Lasting::yes);
}
