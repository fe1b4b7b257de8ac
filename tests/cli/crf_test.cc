// Labels that a dense CRF sharpens: atrous crf, and --crf of segment, eval, convert and inspect.
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "runtime/image/image_read.h"
#include "runtime/image/palette.h"
#include "runtime/segment/dense_crf.h"
#include "tests/support/cli_testing.h"
#include "tests/support/evaluate_testing.h"

namespace atrous::crf_test {

using namespace atrous::cli_testing;
using atrous::evaluate_testing::Pairs;

namespace {

constexpr CrfParameters quick{.iterations = 2, .gaussian = {2, 2}, .bilateral = {3, 20, 10}};
const Arguments as_quick{"--crf-iterations", "2", "--crf-gaussian", "2,2", "--crf-bilateral", "3,20,10"};

// Logits of a photo's size that any network could have given.
struct CrfBench : Bench {
  const std::string map = folder / "logits.npy";
  Tensor logits{Shape{1, 32, 48, 4}};
  CrfBench() {
    std::uint32_t state = 1;
    for (float& x : logits.values()) {
      state = state * 1664525u + 1013904223u;
      x = static_cast<float>(state >> 20) / 1000.f;
    }
    write_file(map, encode_npy(logits.view(), NpyRank::image));
  }
  Tensor sharpened(const CrfParameters& parameters) const {
    Tensor q(logits.shape());
    std::ranges::copy(logits.values(), q.data());
    dense_crf(dog_photo, q.view(), {.parameters = parameters, .logits = true, .threads = 1});
    return q;
  }
  LabelMap labels(const Tensor& q) const {
    LabelMap map{48, 32, std::vector<std::uint8_t>(48 * 32)};
    labels_of(q.view(), std::nullopt, map.labels, {});
    return map;
  }
  std::string npy(const Tensor& q) const { return text_of(encode_npy(q.view(), NpyRank::image)); }
  Arguments crf(const Arguments& arguments) const { return Arguments{"crf", dog, map} + arguments; }
};

}  // namespace

TEST_CASE_FIXTURE(CrfBench, "crf sharpens what another program made, as the library does") {
  const std::string out = folder / "q.npy";
  CHECK(succeed(crf({"-o", out})) == "");
  CHECK(read_text(out) == npy(sharpened({})));
  CHECK(succeed(crf(Arguments{"-o", "-"} + as_quick)) == npy(sharpened(quick)));
  CHECK(succeed(crf(Arguments{"-o", "-", "--threads", "2"} + as_quick)) == npy(sharpened(quick)));
  const LabelMap map = labels(sharpened(quick));
  CHECK(succeed(crf(Arguments{"--labels", "-"} + as_quick)) == labels_png(map));
  const Palette palette = voc_palette(4);
  CHECK(succeed(crf(Arguments{"--mask", "-"} + as_quick)) == text_of(encode_png(colourise(map, palette))));
  CHECK(succeed(crf(Arguments{"--overlay", "-"} + as_quick)) ==
        overlay_png(dog_photo, map, palette, {.background = 0}));
}

TEST_CASE_FIXTURE(CrfBench, "crf takes probabilities where it is told so") {
  Tensor probabilities(logits.shape());
  for (std::int64_t p = 0; p < 32 * 48; ++p) {
    double sum = 0;
    for (std::int64_t c = 0; c < 4; ++c) sum += std::exp(static_cast<double>(logits.data()[4 * p + c]));
    for (std::int64_t c = 0; c < 4; ++c)
      probabilities.data()[4 * p + c] =
          static_cast<float>(std::exp(static_cast<double>(logits.data()[4 * p + c])) / sum);
  }
  write_file(map, encode_npy(probabilities.view()));  // [1, C, H, W] will do
  const std::string out = folder / "q.npy";
  succeed(crf(Arguments{"-o", out, "--probabilities"} + as_quick));
  const Tensor found = read_npy(read_file(out, 1 << 20), out, 0), expected = sharpened(quick);
  REQUIRE(found.shape() == expected.shape());
  float apart = 0;
  for (std::size_t i = 0; i < found.values().size(); ++i)
    apart = std::max(apart, std::abs(found.values()[i] - expected.values()[i]));
  CHECK(apart < 2e-6f);
}

TEST_CASE("crf gives what the authors' code gives, from the command line") {
  const std::string data = ATROUS_SOURCE_DIR "/../shared/data/networks/densecrf/a_3class_60x80/";
  if (!std::filesystem::is_directory(data)) {
    std::puts("skipped: ../shared/data is absent");
    return;
  }
  const TemporaryFolder folder;
  const std::string out = folder / "q.npy";
  succeed({"crf", data + "image.png", data + "logits.npy", "-o", out, "--crf-iterations", "5"});
  const Tensor found = read_npy(read_file(out, 1 << 20), out, 0),
               expected = read_npy(read_file(data + "q_deeplab_5.npy", 1 << 20), "expected", 0);
  REQUIRE(found.shape() == expected.shape());
  float apart = 0;
  for (std::size_t i = 0; i < found.values().size(); ++i)
    apart = std::max(apart, std::abs(found.values()[i] - expected.values()[i]));
  CHECK(apart <= 5e-6f);
}

TEST_CASE_FIXTURE(CrfBench, "crf refuses what it cannot do, in a line") {
  refuse(2, crf({}), {"nothing is asked for", "--overlay"});
  refuse(2, crf({"-o", "-", "--mask", "-"}), {"one of them", "standard output"});
  refuse(1, crf({"-o", folder / "q.npy", "--mask", "-", "--palette", folder / "none.txt"}), {"none.txt"});
  refuse(2, crf({"-o", "-", "--crf-gaussian", "3"}), {"--crf-gaussian 3", "WEIGHT,XY"});
  refuse(2, crf({"-o", "-", "--crf-gaussian", "3,"}), {"WEIGHT,XY"});
  refuse(2, crf({"-o", "-", "--crf-gaussian", "3,nan"}), {"WEIGHT,XY"});
  refuse(2, crf({"-o", "-", "--crf-bilateral", "3,20,0"}), {"standard deviation of 0", "0.01"});
  refuse(2, crf({"-o", "-", "--crf-bilateral", "-3,20,1"}), {"WEIGHT,XY,RGB"});
  refuse(2, crf({"-o", "-", "--crf-iterations", "1001"}), {"--crf-iterations", "1001"});
  refuse(1, crf({"-o", "-", "--memory-limit", "200KB"}), {"vertices", "memory"});
  refuse(1, {"crf", dog, dog, "-o", "-"}, {dog});
  write_photo("wide.png", photo(49, 32));
  refuse(1, {"crf", folder / "wide.png", map, "-o", "-"}, {"logits.npy", "32x48", "32x49"});
  logits.values()[7] = std::nanf("");
  write_file(map, encode_npy(logits.view()));
  refuse(1, crf({"-o", folder / "q.npy"}), {"logits.npy", "logit of nan", "class 3", "pixel 1"});
  CHECK(names() == Names{"dog.png", "logits.npy", "net.safetensors", "wide.png"});
  write_file(map, encode_npy(Tensor::zeros({1, 32, 48, 1}).view()));
  refuse(1, crf({"-o", "-"}), {"two classes", "found 1"});
}

TEST_CASE_FIXTURE(Bench, "segment --crf gives the labels of the library's sharp_label") {
  SegmentOptions options{.resize = ResizeRule{ResizeRule::Kind::none, 0, 0, 0}, .crf = quick};
  const Segmentation sharp = expected(options);
  CHECK(succeed(segment(Arguments{dog, "--labels", "-o", "-", "--crf"} + as_quick)) ==
        labels_png(sharp.labels));
  CHECK(sharp.labels.labels != expected().labels.labels);
  const Json all = Json::parse(
      succeed(segment(Arguments{dog, "--json", "-", "--no-mask", "--no-overlay", "--crf"} + as_quick)));
  const Json expected_crf = Json::parse(
      R"({"iterations": 2, "gaussian": {"weight": 2, "xy": 2}, "bilateral": {"weight": 3, "xy": 20, "rgb": 10}})");
  CHECK(all[0]["crf"] == expected_crf);
  CHECK(!Json::parse(succeed(segment({dog, "--json", "-", "--no-mask", "--no-overlay"})))[0].contains("crf"));
  refuse(2, segment({dog, "--crf-gaussian", "3,1"}), {"--crf-gaussian is for --crf"});
  const Json at =
      Json::parse(succeed({"inspect", checkpoint, "--json", "--size", "48x32", "--threads", "1"}))["at"];
  const std::size_t enough = at["weight_bytes"].get<std::size_t>() + at["arena_bytes"].get<std::size_t>() +
                             at["crf_bytes"].get<std::size_t>() / 4;
  const Arguments limited{dog, "--labels", "-o", "-", "--memory-limit", std::to_string(enough)};
  CHECK(succeed(segment(limited)) == labels_png(expected().labels));
  refuse(1, segment(limited + Arguments{"--crf"}), {"limit"});
}

TEST_CASE_FIXTURE(Bench, "convert stores a CRF's parameters, inspect shows them, --crf takes them") {
  const std::string stored = folder / "stored.safetensors";
  succeed(Arguments{"convert", checkpoint, stored} + as_quick);
  const Json seen = Json::parse(succeed({"inspect", stored, "--json", "--size", "48x32"}));
  CHECK(seen["crf"]["bilateral"]["rgb"] == 10);
  CHECK(seen["at"]["crf_bytes"].get<std::size_t>() == dense_crf_bytes(48 * 32, 5));
  CHECK(mentions(succeed({"inspect", stored}), "2 iterations, Gaussian 2,2, bilateral 3,20,10"));
  CHECK(!Json::parse(succeed({"inspect", checkpoint, "--json"})).contains("crf"));
  const Arguments run{"segment",     dog,        "-m", stored, "--threads", "1",
                      "--no-resize", "--labels", "-o", "-",    "--crf"};
  SegmentOptions options{.resize = ResizeRule{ResizeRule::Kind::none, 0, 0, 0}, .crf = quick};
  CHECK(succeed(run) == labels_png(expected(options).labels));
  options.crf->iterations = 7;  // what is given wins, what is not stays
  CHECK(succeed(run + Arguments{"--crf-iterations", "7"}) == labels_png(expected(options).labels));
}

TEST_CASE("segment --crf: one logit is two classes") {
  const TemporaryFolder folder;
  const std::string checkpoint = folder / "binary.safetensors", dog = folder / "dog.png";
  write_safetensors(checkpoint, binary_state(), {});
  write_file(dog, encode_png(photo(48, 32)));
  const Model model = make_model(binary_state(), std::nullopt, {.threads = 1});
  Session session(model.program, {.threads = 1});
  for (const char* threshold : {"0.5", "0.9"}) {
    const Segmentation expected = atrous::segment(session, model, photo(48, 32),
                                                  {.resize = ResizeRule{ResizeRule::Kind::none, 0, 0, 0},
                                                   .threshold = std::stod(threshold),
                                                   .crf = quick});
    CHECK(succeed(Arguments{"segment", dog, "-m", checkpoint, "--threads", "1", "--no-resize", "--labels",
                            "-o", "-", "--threshold", threshold, "--crf"} +
                  as_quick) == labels_png(expected.labels));
  }
}

TEST_CASE_FIXTURE(Pairs, "eval --crf scores with and without in one run") {
  const std::string checkpoint = folder / "net.safetensors";
  write_safetensors(checkpoint, tiny_state("deeplabv3"), {});
  const Arguments data{"--dataset", "pairs", folder / "photos", folder / "labels", "--json", "-"};
  for (const std::string at : {"original", "input"}) {
    const Arguments run =
        Arguments{"eval", "-m", checkpoint, "--threads", "1", "--no-resize", "--at", at} + data;
    Json with = Json::parse(succeed(run + Arguments{"--crf"} + as_quick));
    // The labels that segment writes, scored as anybody's.
    const std::string labels = folder / ("sharp-" + at);
    for (std::size_t i = 0; i < names.size(); ++i)
      succeed(Arguments{"segment", photo_path(i), "-m", checkpoint, "--threads", "1", "--no-resize",
                        "--labels", "-o", labels, "--crf"} +
              as_quick);
    std::string names_file;
    for (const std::string& name : model.classes) names_file += name + '\n';
    write_text(folder / "names.txt", names_file);
    const Json sharp = Json::parse(
        succeed(Arguments{"eval", "--predictions", labels, "--classes", folder / "names.txt"} + data));
    CHECK(with["crf"]["confusion_matrix"] == sharp["confusion_matrix"]);
    CHECK(with["crf"]["mean_iou"] == sharp["summary"]["mean_iou"]);
    CHECK(with["crf"]["iterations"] == 2);
    // All else is as without.
    Json without = Json::parse(succeed(run));
    CHECK(with["confusion_matrix"] != with["crf"]["confusion_matrix"]);
    CHECK(with["confusion_matrix"] == without["confusion_matrix"]);
    CHECK(with["summary"] == without["summary"]);
    REQUIRE(with["notes"].size() == without["notes"].size() + 1);
    CHECK(mentions(with["notes"].back().get<std::string>(), "a dense CRF of 2 iterations"));
  }
}

TEST_CASE_FIXTURE(Pairs, "eval --crf goes on from a state, and not from that of a run without") {
  const std::string checkpoint = folder / "net.safetensors", state = folder / "state";
  write_safetensors(checkpoint, tiny_state("deeplabv3"), {});
  const Arguments run =
      Arguments{"eval",        "-m",        checkpoint, "--threads",       "1",
                "--no-resize", "--dataset", "pairs",    folder / "photos", folder / "labels",
                "--json",      "-",         "--crf"} +
      as_quick;
  const Json whole = Json::parse(succeed(run));
  // A run that ends at a broken photo keeps what came before.
  const std::vector<std::byte> third = read_file(photo_path(2), 1 << 20);
  write_text(photo_path(2), "no picture");
  CHECK(run_atrous(run + Arguments{"--resume", state, "--strict"}).exit_code == 1);
  write_file(photo_path(2), third);
  const Json resumed = Json::parse(succeed(run + Arguments{"--resume", state}));
  CHECK(resumed["crf"] == whole["crf"]);
  CHECK(resumed["confusion_matrix"] == whole["confusion_matrix"]);
  Arguments other = run;
  other[std::size(run) - 1] = "3,20,11";
  refuse(1, other + Arguments{"--resume", state}, {"CRF", "3,20,10", "3,20,11"});
}

}  // namespace atrous::crf_test
