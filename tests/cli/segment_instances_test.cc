// `atrous segment` and its neighbours with a model that finds instances, as processes.
#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "runtime/image/image_read.h"
#include "runtime/instances/coco_mask.h"
#include "runtime/instances/detector.h"
#include "tests/support/cli_testing.h"

namespace atrous::segment_instances_test {

using namespace atrous::cli_testing;

namespace {

namespace fs = std::filesystem;

// A photo with something to see: stripes and a disc.
Image striped(int width, int height) {
  Image photo = make_image(width, height, 3);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const int dx = x - width / 3, dy = y - height / 2;
      const bool disc = 9 * (dx * dx + dy * dy) < height * height;
      std::uint8_t* p = photo.row(y) + std::ptrdiff_t{3} * x;
      p[0] = static_cast<std::uint8_t>(disc ? 220 : 13 * x % 256);
      p[1] = static_cast<std::uint8_t>(disc ? 40 : 7 * y % 256);
      p[2] = static_cast<std::uint8_t>((x + y) % 256);
    }
  return photo;
}

constexpr const char* sides = "min_size=64,max_size=96";

// Narrow networks with five classes, small enough for every build, and a photo.
struct InstanceBench {
  TemporaryFolder folder;
  const std::string masks = folder / "masks.safetensors", boxes = folder / "boxes.safetensors",
                    out = folder / "out";
  const Image picture = striped(90, 70);
  const std::string photo = folder / "000000000042.png";

  static StateDict state(const std::string& kind) {
    return seeded_state(kind + "_resnet(1,1,1,1)_fpn", {.classes = 5, .width = 8});
  }
  InstanceBench() {
    write_safetensors(masks, state("maskrcnn"), {});
    write_safetensors(boxes, state("fasterrcnn"), {});
    write_file(photo, encode_png(picture));
  }
  Arguments segment(const std::string& input, const std::string& model, const Arguments& arguments) const {
    return Arguments{"segment", input, "-m", model, "--arch", sides} + arguments;
  }
};

const Json& at(const Json& object, const char* key) {
  REQUIRE(object.contains(key));
  return object[key];
}

}  // namespace

TEST_CASE_FIXTURE(
    InstanceBench,
    "segment writes what a Mask R-CNN finds: masks, JSON, labels painted in the scores' order") {
  const std::string said = succeed(segment(photo, masks,
                                           {"--score", "0.1", "--max-instances", "4", "--labels", "-o", out,
                                            "--instances", out + "/masks", "--json", out + "/found.json"}));
  CHECK(mentions(said, "instance"));

  const Model model = make_model(state("maskrcnn"), std::nullopt, {.hyper = Hyper(sides), .threads = 1});
  Detector detector(model, {.threads = 1});
  const Instances found = detector.detect(picture, {.score = 0.1F, .detections = 4});
  REQUIRE(!found.found.empty());
  const Json json = Json::parse(read_text(out + "/found.json"));
  REQUIRE(json.size() == found.found.size());
  LabelMap painted{90, 70, std::vector<std::uint8_t>(90 * 70)};
  for (std::size_t i = found.found.size(); i-- > 0;) {
    CAPTURE(i);
    const Instance& one = found.found[i];
    const Json& record = json[i];
    CHECK(at(record, "image_id") == 42);
    CHECK(at(record, "category_id") == one.label);
    CHECK(at(record, "category") == "class " + std::to_string(one.label));
    CHECK(at(record, "score").get<double>() == static_cast<double>(one.score));
    const auto x1 = static_cast<double>(one.box.x1), y1 = static_cast<double>(one.box.y1);
    CHECK(at(record, "bbox").get<std::vector<double>>() ==
          std::vector<double>{x1, y1, static_cast<double>(one.box.x2) - x1,
                              static_cast<double>(one.box.y2) - y1});

    // The mask three ways: where its probability is at least a half, as a PNG, as run lengths down the
    // columns.
    const std::vector<std::uint8_t> mask = pasted_mask(found, i);
    const Image png =
        read_image_file(str_cat(out, "/masks/000000000042.0", i + 1, ".class_", one.label, ".png"));
    const Json& segmentation = at(record, "segmentation");
    CHECK(at(segmentation, "size") == Json{70, 90});
    std::vector<CocoSpan> spans;
    add_coco_runs(spans, decode_coco_runs(at(segmentation, "counts").get<std::string>()), 90, 70);
    std::vector<std::uint8_t> from_runs(mask.size());
    for (const CocoSpan& span : spans)
      for (std::uint32_t p = span.begin; p < span.end; ++p) from_runs[std::size_t{p % 70} * 90 + p / 70] = 1;
    CHECK(from_runs == mask);
    REQUIRE(png.width == 90);
    REQUIRE(png.height == 70);
    std::size_t wrong = 0;
    for (std::size_t p = 0; p < mask.size(); ++p) {
      wrong += png.pixels[p * static_cast<std::size_t>(png.channels)] != (mask[p] ? 255 : 0);
      if (mask[p]) painted.labels[p] = static_cast<std::uint8_t>(one.label);
    }
    CHECK(wrong == 0);
  }
  CHECK(read_text(out + "/000000000042.labels.png") == labels_png(painted));
  CHECK(fs::exists(out + "/000000000042.mask.png"));
  CHECK(fs::exists(out + "/000000000042.overlay.png"));
}

TEST_CASE_FIXTURE(InstanceBench, "the number of threads changes no bit of the instances that segment finds") {
  std::vector<std::string> found;
  for (const char* threads : {"1", "2", "3"}) {
    succeed(segment(
        photo, masks,
        {"--score", "0", "--quiet", "--threads", threads, "-o", out, "--json", folder / "found.json"}));
    found.push_back(read_text(folder / "found.json"));
  }
  CHECK(found[0].size() > 1000);
  CHECK(found[1] == found[0]);
  CHECK(found[2] == found[0]);
}

TEST_CASE_FIXTURE(
    InstanceBench,
    "a folder of photos gives one list of instances, numbered by photo where names are no numbers") {
  fs::create_directories(folder / "photos/inner");
  write_file(folder / "photos/a.png", encode_png(striped(64, 64)));
  write_file(folder / "photos/inner/b.png", encode_png(striped(80, 64)));
  write_text(folder / "photos/broken.png", "nothing");
  const ProcessResult r =
      run_atrous(segment(folder / "photos", masks,
                         {"-r", "--score", "0", "--max-instances", "2", "--skip-broken", "-o", out,
                          "--instances", folder / "each", "--json", folder / "all.json"}));
  CAPTURE(r.errors);
  CHECK(r.exit_code == 0);
  CHECK(mentions(r.errors, "broken.png"));
  const Json json = Json::parse(read_text(folder / "all.json"));
  std::vector<std::int64_t> ids;
  for (const Json& record : json) ids.push_back(at(record, "image_id"));
  CHECK(ids == std::vector<std::int64_t>{1, 1, 3, 3});
  CHECK(names_in(folder / "each/inner").size() == 2);
  CHECK(fs::exists(out + "/inner/b.overlay.png"));
}

TEST_CASE_FIXTURE(InstanceBench,
                  "what a model that finds instances has nothing for is refused by the option's name") {
  for (const Arguments& option :
       {Arguments{"--confidence"}, Arguments{"--crf"}, Arguments{"--at", "input"},
        Arguments{"--upsample", "transposed"}, Arguments{"--threshold", "0.5"},
        Arguments{"--logits", "l.npy"}, Arguments{"--center-crop", "32"}, Arguments{"--protocol", "semseg"},
        Arguments{"--scales", "0.5,1"}, Arguments{"--flip"}, Arguments{"--probabilities", "p.npy"}})
    refuse(2, segment(photo, masks, Arguments{"-o", out} + option),
           {option.front(), "finds instances, it gives no pixel a class"});
  refuse(2, segment(photo, masks, {"--size", "64x64"}), {"--size", "--resize gives the shorter side"});
  refuse(2, segment(photo, masks, {"--score", "1.5"}), {"--score"});
  for (const Arguments& option :
       {Arguments{"--mask"}, Arguments{"--labels"}, Arguments{"--indexed"}, Arguments{"--sheet"},
        Arguments{"--legend"}, Arguments{"--cutout", "class 1"}, Arguments{"--instances", "each"}})
    refuse(2, segment(photo, boxes, Arguments{"-o", out} + option),
           {option.front(), "finds boxes, no masks"});
  const std::string semantic = folder / "semantic.safetensors";
  write_safetensors(semantic, tiny_state("fcn"), {});
  for (const Arguments& option : {Arguments{"--instances", "each"}, Arguments{"--score", "0.5"},
                                  Arguments{"--iou", "0.5"}, Arguments{"--max-instances", "3"}})
    refuse(2, Arguments{"segment", photo, "-m", semantic} + option,
           {option.front(), "it finds no instances"});
}

TEST_CASE_FIXTURE(InstanceBench, "a Faster R-CNN gives an overlay with boxes, and JSON without masks") {
  const std::string said =
      succeed(segment(photo, boxes, {"--score", "0", "--max-instances", "3", "-o", out, "--json", "-"}));
  CHECK(names_in(out) == Names{"000000000042.overlay.png"});
  const Json json = Json::parse(said);
  REQUIRE(json.size() == 3);
  CHECK(!json[0].contains("segmentation"));
  CHECK(json[0].contains("bbox"));
}

TEST_CASE_FIXTURE(InstanceBench, "a memory limit that two stages cannot keep is refused with both numbers") {
  refuse(1, segment(photo, masks, {"-o", out, "--memory-limit", "2MB"}),
         {"bytes needed", "the limit is 2000000"});
}

TEST_CASE_FIXTURE(InstanceBench, "convert, verify, inspect, bench and profile know a model of two stages") {
  const std::string converted = folder / "converted.safetensors";
  succeed({"convert", masks, converted, "--arch", sides});
  refuse(2, {"convert", masks, converted, "--resize", "300"}, {"--arch says, min_size=800"});
  const std::string verified =
      succeed({"verify", converted, "--device", "reference", "--size", "64x64", "--all"});
  for (const char* node : {"backbone.body.conv1", "rpn.head.bbox_pred", "roi_heads.box_head.fc6",
                           "roi_heads.mask_predictor.mask_fcn_logits"})
    CHECK(mentions(verified, node));
  const std::string inspected = succeed({"inspect", converted});
  CHECK(mentions(inspected, "min_size=64, max_size=96"));
  CHECK(mentions(inspected, "shorter side 64, longer side at most 96"));
  CHECK(
      mentions(succeed({"bench", converted, "--size", "64x64", "--runs", "1", "--warmup", "0", "-o", "json"}),
               "\"gflops\""));
  refuse(2, {"bench", converted, "--batch", "2"}, {"one picture at a time"});
  CHECK(mentions(succeed({"profile", converted, "--size", "64x64", "--runs", "1", "--warmup", "0"}),
                 "roi_heads.mask_head.0.0"));
  CHECK(mentions(succeed({"networks"}), "shorter side 800, longer side at most 1333"));
}

}  // namespace atrous::segment_instances_test
