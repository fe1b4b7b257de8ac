// Networks of one logit, and logits that are not finite, by the program as a process.
#include <filesystem>

#include "runtime/image/label_read.h"
#include "runtime/image/npy.h"
#include "runtime/image/palette.h"
#include "tests/support/cli_testing.h"
#include "tests/support/evaluate_testing.h"
#include "weights_tools/checkpoint.h"

namespace atrous::binary_segment_test {

using namespace atrous::cli_testing;

namespace {

struct BinaryBench {
  TemporaryFolder folder;
  const std::string checkpoint = folder / "binary.safetensors", dog = folder / "dog.png";
  const Image dog_photo = photo(48, 32);
  const Model model = make_model(binary_state(), std::nullopt, {.threads = 1});
  Session session{model.program, {.threads = 1}};

  BinaryBench() {
    write_safetensors(checkpoint, binary_state(), {});
    write_file(dog, encode_png(dog_photo));
  }
  Arguments segment(const Arguments& arguments) const {
    return Arguments{"segment", dog, "-m", checkpoint, "--threads", "1", "--no-resize"} + arguments;
  }
  Segmentation expected(std::optional<double> threshold = {}) {
    return atrous::segment(session, model, dog_photo,
                           {.resize = ResizeRule{ResizeRule::Kind::none, 0, 0, 0}, .threshold = threshold});
  }
};

struct OverflowBench {
  TemporaryFolder folder;
  const std::string checkpoint = folder / "overflow.safetensors";
  OverflowBench() {
    write_safetensors(checkpoint, overflowing(tiny_state("fcn")), {});
    std::filesystem::create_directory(folder / "photos");
    std::filesystem::create_directory(folder / "labels");
    write_file(folder / "photos/a.png", encode_png(photo(48, 32)));
    write_file(folder / "labels/a.png", encode_png(make_image(48, 32, 1)));
  }
};

const std::string field = ATROUS_SOURCE_DIR "/../shared/data/field/";

bool has_field() {
  const bool there = std::filesystem::is_directory(field);
  if (!there) std::puts("skipped: ../shared/data/field is absent");
  return there;
}

}  // namespace

TEST_CASE_FIXTURE(BinaryBench, "segment of one logit tells background from foreground") {
  CHECK(succeed(segment({"-o", "-", "--labels"})) == labels_png(expected().labels));
  const Json report = Json::parse(succeed(segment({"--no-mask", "--no-overlay", "--json", "-"})))[0];
  REQUIRE(report["classes"].size() == 2);
  std::int64_t pixels = 0;
  for (const Json& c : report["classes"]) {
    CHECK(c["name"] == (c["index"] == 1 ? "foreground" : "background"));
    CHECK(c["confidence"].get<double>() >= 0.5);
    CHECK(c["confidence"].get<double>() < 1);
    pixels += c["pixels"].get<std::int64_t>();
  }
  CHECK(pixels == 48 * 32);
  // The background stays as the photo is.
  CHECK(succeed(segment({"-o", "-", "--overlay"})) ==
        text_of(encode_png(overlay(dog_photo, expected().labels, voc_palette(2), {.background = 0}))));
  CHECK(succeed(segment({"-o", "-", "--cutout", "foreground"})) ==
        text_of(encode_png(cutout(dog_photo, expected().labels, 1))));
}

TEST_CASE_FIXTURE(BinaryBench, "--logits of one logit has one channel, and verify takes it as a reference") {
  succeed(segment({"-q", "--no-mask", "--no-overlay", "--logits", folder / "z.npy"}));
  const Tensor logits = read_npy(read_file(folder / "z.npy", 1 << 20), "z.npy", 1);
  CHECK(logits.shape() == Shape{1, 32, 48, 1});
  write_file(folder / "input.npy", encode_npy(noise({1, 24, 40, 3}).view()));
  succeed(
      {"segment", folder / "input.npy", "-m", checkpoint, "-q", "--no-mask", "--logits", folder / "r.npy"});
  CHECK(mentions(
      succeed({"verify", checkpoint, "--input", folder / "input.npy", "--reference", folder / "r.npy"}),
      ": holds"));
}

TEST_CASE_FIXTURE(BinaryBench,
                  "--threshold moves the border between the two classes, and takes a probability") {
  for (const char* threshold : {"0.4", "0.6"}) {
    const LabelMap labels = expected(std::stod(threshold)).labels;
    CHECK(succeed(segment({"-o", "-", "--labels", "--threshold", threshold})) == labels_png(labels));
    CHECK_FALSE(labels == expected().labels);
  }
  for (const char* nonsense : {"0", "1", "-0.1", "1.5", "nan", "0.5x", "1e-1"})
    refuse(2, segment({str_cat("--threshold=", nonsense)}), {"--threshold", "between 0 and 1"});
  write_safetensors(folder / "five.safetensors", tiny_state("fcn"), {});
  const Arguments five{"segment", dog, "-m", folder / "five.safetensors", "--threshold", "0.5"};
  refuse(2, five, {"--threshold", "five.safetensors has 5"});
}

TEST_CASE_FIXTURE(BinaryBench, "convert, inspect and verify know the two classes of one logit") {
  const std::string out = folder / "out.safetensors";
  write_text(folder / "names.txt", "road\ncrack\n");
  CHECK(mentions(succeed({"convert", checkpoint, out, "--classes", folder / "names.txt"}), "2 classes"));
  const auto metadata = load_checkpoint(out).metadata;
  REQUIRE(metadata);
  CHECK(metadata->classes == std::vector<std::string>{"road", "crack"});
  CHECK(metadata->palette == voc_palette(2));
  CHECK(metadata->decision == Decision::sigmoid);
  CHECK(metadata->background == 0);
  CHECK(mentions(succeed({"verify", out}), ": holds"));
  const std::string said = succeed({"inspect", out});
  CHECK(mentions(said, "2: road, crack"));
  CHECK(mentions(said, "one logit: crack where its sigmoid is above"));
  const Json report = Json::parse(succeed({"inspect", out, "--json"}));
  CHECK(report["answer"] == "sigmoid");
  CHECK(report["logits"] == 1);
  CHECK(report["background"] == 0);
  CHECK(mentions(succeed({"segment", dog, "-m", out, "--no-resize"}), "crack"));
  write_text(folder / "one.txt", "crack\n");
  refuse(2, segment({"--classes", folder / "one.txt"}), {"expected 2", "found 1"});
}

TEST_CASE_FIXTURE(BinaryBench, "convert keeps the class that overlays leave untinted") {
  write_safetensors(folder / "five.safetensors", tiny_state("fcn"), {});
  write_text(folder / "names.txt", "a\nb\nc\nd\nbackground\n");
  const auto background = [&](const Arguments& more) {
    const std::string out = folder / "out.safetensors";
    succeed(Arguments{"convert", folder / "five.safetensors", out} + more);
    return load_checkpoint(out).metadata->background;
  };
  CHECK(background({}) == no_background);
  CHECK(background({"--classes", folder / "names.txt"}) == 4);
  CHECK(background({"--classes", folder / "names.txt", "--background", "b"}) == 1);
  CHECK(background({"--classes", folder / "names.txt", "--background", "none"}) == no_background);
  CHECK(background({"--background", "3"}) == 3);
  refuse(2, {"convert", folder / "five.safetensors", folder / "x.safetensors", "--background", "sky"},
         {"sky"});

  // and the program's overlay is the library's
  background({"--background", "2"});
  const Model stored = load_model(folder / "out.safetensors", {.threads = 1});
  Session own(stored.program, {.threads = 1});
  const Segmentation s = atrous::segment(own, stored, dog_photo);
  CHECK(succeed({"segment", dog, "-m", folder / "out.safetensors", "-o", "-", "--overlay"}) ==
        text_of(encode_png(overlay(dog_photo, s.labels, stored.palette, {.background = stored.background}))));
}

TEST_CASE_FIXTURE(BinaryBench, "a file that says sigmoid of several channels is refused by name") {
  Metadata metadata;
  metadata.decision = Decision::sigmoid;
  const std::string file = folder / "multilabel.safetensors";
  write_safetensors(file, tiny_state("fcn"), to_strings(metadata));
  refuse(1, {"segment", dog, "-m", file}, {"multilabel.safetensors", "5 channels", "sigmoid"});
}

TEST_CASE_FIXTURE(BinaryBench, "a folder stands for the model in it, and its config.json is heard") {
  const auto make = [&](const std::string& name, const StateDict& state, std::string_view config) {
    std::filesystem::create_directory(folder / name);
    write_safetensors(folder / (name + "/model.safetensors"), state, {});
    write_text(folder / (name + "/config.json"), config);
    return folder / name;
  };
  const std::string one = make("one", binary_state(), R"({"activation": "sigmoid", "classes": 1})"),
                    five = make("five", tiny_state("fcn"), R"({"activation": "sigmoid", "classes": 5})");
  CHECK(succeed({"segment", dog, "-m", one, "--threads", "1", "--no-resize", "-o", "-", "--labels"}) ==
        labels_png(expected().labels));
  CHECK(mentions(succeed({"inspect", one}), "one logit"));
  succeed({"convert", one, folder / "out.safetensors"});
  CHECK(load_checkpoint(folder / "out.safetensors").metadata->source == "model.safetensors");
  for (const std::string& path : {five, five + "/model.safetensors"}) {
    const std::vector<std::string> parts{five + "/model.safetensors", "config.json", "5 channels", "sigmoid"};
    refuse(1, {"segment", dog, "-m", path}, parts);
    refuse(1, {"convert", path, folder / "x.safetensors"}, {"config.json", "5 channels", "sigmoid"});
  }
  write_safetensors(folder / "five/other.safetensors", tiny_state("fcn"), {});
  std::filesystem::rename(folder / "five/model.safetensors", folder / "five/net.safetensors");
  refuse(1, {"inspect", five}, {"2 checkpoints, net.safetensors and other.safetensors"});
}

TEST_CASE_FIXTURE(OverflowBench,
                  "logits that are not finite are one sentence and exit status 1, in every verb") {
  const std::string photo = folder / "photos/a.png",
                    sentence = "the logits of " + checkpoint + " are not finite";
  const Names before = names_in(folder.path());
  for (const Arguments& more : {Arguments{},
                                {"--json", "-"},
                                {"-o", "-", "--confidence"},
                                {"--logits", "-"},
                                {"--upsample", "transposed"}})
    refuse(1, Arguments{"segment", photo, "-m", checkpoint, "--no-resize"} + more, {photo, sentence});
  for (const Arguments& more : {Arguments{}, {"--no-scores"}})
    refuse(1,
           Arguments{"eval", "-m", checkpoint, "--dataset", "pairs", folder / "photos", folder / "labels",
                     "--no-resize"} +
               more,
           {photo, sentence});
  refuse(1, {"convert", checkpoint, folder / "out.safetensors"}, {sentence});
  refuse(1, {"verify", checkpoint, "--device", "reference"}, {sentence, "classifier.4 (conv2d)"});
  write_file(folder / "zero.npy", encode_npy(Tensor::zeros({1, 32, 48, 5}).view()));
  refuse(1, {"verify", checkpoint, "--reference", folder / "zero.npy"}, {sentence, "classifier.4 (conv2d)"});
  std::filesystem::remove(folder / "zero.npy");
  CHECK(names_in(folder.path()) == before);
  CHECK(names_in(folder / "photos") == Names{"a.png"});
}

TEST_CASE_FIXTURE(OverflowBench,
                  "--skip-broken leaves out photos, but does not excuse a network that overflows") {
  write_file(folder / "black.png", encode_png(make_image(48, 32, 3)));
  write_text(folder / "broken.png", "no picture");
  const Arguments several{"segment",
                          folder / "photos/a.png",
                          folder / "broken.png",
                          folder / "black.png",
                          "-m",
                          checkpoint,
                          "--no-resize",
                          "-q",
                          "--skip-broken"};
  const auto result = run_atrous(several);
  CHECK(result.exit_code == 1);
  CHECK(mentions(result.errors, "the logits of " + checkpoint + " are not finite"));
  CHECK(mentions(result.errors, "broken.png: is a text file"));
  CHECK(mentions(result.errors, " of 3 pictures failed"));
}

TEST_CASE_FIXTURE(OverflowBench, "a stored self-test whose logits are not finite names the layer") {
  Metadata metadata;
  metadata.self_test = SelfTest{.height = 16, .width = 24, .logits = {{0, 0}}, .largest = 1};
  write_safetensors(checkpoint, overflowing(tiny_state("fcn")), to_strings(metadata));
  refuse(1, {"verify", checkpoint},
         {"the logits of " + checkpoint + " are not finite", "classifier.4 (conv2d)"});
}

TEST_CASE("field 01: one logit gives torch's labels, and the measures of masks of 0 and 255") {
  if (!has_field()) return;
  const TemporaryFolder out;
  const std::string here = field + "01-one-logit/";
  succeed({"segment", here + "photo.png", "-m", here + "one_logit.pth", "--no-resize", "--labels", "-q", "-o",
           out.path()});
  LabelMap found = read_labels_file(out / "photo.labels.png"),
           right = read_labels_file(here + "right_answer.png");
  REQUIRE(found.labels.size() == right.labels.size());
  std::size_t different = 0;
  for (std::size_t p = 0; p < found.labels.size(); ++p)
    different += (found.labels[p] != 0) != (right.labels[p] != 0);
  CHECK(different <= found.labels.size() / 1000);  // torch sums in another order
}

TEST_CASE("field 21: logits that overflow are refused") {
  if (!has_field()) return;
  const std::string here = field + "21-overflow/", model = here + "overflow.pth";
  const TemporaryFolder out;
  const std::string sentence = "the logits of " + model + " are not finite";
  refuse(1, {"segment", here + "photo.png", "-m", model, "-o", out.path()}, {sentence});
  refuse(1, {"convert", model, out / "x.safetensors"}, {sentence});
  refuse(1, {"verify", model, "--input", here + "input.npy", "--reference", here + "torch.npy"},
         {sentence, "the first layer"});
  CHECK(names_in(out.path()).empty());
}

}  // namespace atrous::binary_segment_test
