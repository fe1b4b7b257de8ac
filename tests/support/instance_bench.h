// A network of two stages that finds something with seeded weights, with photos and their annotations in
// COCO's folders: what the tests of `atrous eval --dataset coco` share.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "runtime/image/image_read.h"
#include "runtime/instances/detector.h"
#include "tests/support/cli_testing.h"

namespace atrous::cli_testing {

constexpr const char* small_sides = "min_size=64,max_size=96";

// Seeded weights find next to nothing. With logits of fewer extremes, a background that is less likely and
// masks that are more so there are dozens of instances in a photo, of all classes, none without a pixel.
inline StateDict small_state(const char* network = "maskrcnn_resnet(1,1,1,1)_fpn") {
  const std::string box = "roi_heads.box_predictor.", mask = "roi_heads.mask_predictor.";
  StateDict state = seeded_state(network, {.classes = 5, .width = 8});
  state = scaled(state, box + "cls_score.weight", 0.3F);
  state = scaled(state, box + "bbox_pred.weight", 0.1F);
  std::size_t label = 0;
  state = changed(state, box + "cls_score.bias", [&label](float v) { return label++ == 0 ? v - 3 : v; });
  return changed(state, mask + "mask_fcn_logits.bias", [](float v) { return v + 2; });
}

struct Picture {
  std::int64_t id;
  const char* file;
  int width, height;
  unsigned seed;
};
// Not in the order of the ids.
constexpr Picture pictures[] = {{40, "c.png", 50, 70, 3}, {7, "a.png", 64, 48, 1}, {12, "b.png", 90, 60, 2}};

// A checkpoint, three photos and their annotations in COCO's folders.
struct InstanceBench {
  const TemporaryFolder folder;
  const std::string checkpoint = folder / "net.safetensors", root = folder.path(),
                    results = folder / "results.json", truth = folder / "annotations/instances_val2017.json";

  explicit InstanceBench(const StateDict& state = small_state()) {
    Metadata said;
    said.hyper = small_sides;
    write_safetensors(checkpoint, state, to_strings(said));
    std::filesystem::create_directory(folder / "annotations");
    std::filesystem::create_directory(folder / "val2017");
    for (const Picture& p : pictures)
      write_file(folder / "val2017" + "/" + p.file, encode_png(photo(p.width, p.height, p.seed)));
    Json annotations = Json::array();
    for (const Picture& p : pictures)
      annotations.push_back({{"id", p.id},
                             {"image_id", p.id},
                             {"category_id", 1 + p.id % 4},
                             {"area", 600},
                             {"iscrowd", 0},
                             {"bbox", {5, 5, 30, 20}},
                             {"segmentation", {{5, 5, 35, 5, 35, 25, 5, 25}}}});
    write_truth(annotations);
  }

  void write_truth(const Json& annotations, const Json& categories = four_categories()) const {
    Json images = Json::array();
    for (const Picture& p : pictures)
      images.push_back({{"id", p.id}, {"file_name", p.file}, {"width", p.width}, {"height", p.height}});
    write_text(truth,
               Json{{"images", images}, {"annotations", annotations}, {"categories", categories}}.dump());
  }
  static Json four_categories() {
    Json categories = Json::array();
    for (int id = 1; id <= 4; ++id)
      categories.push_back({{"id", id}, {"name", "thing " + std::to_string(id)}});
    return categories;
  }

  Arguments eval(const Arguments& more = {}) const {
    return Arguments{"eval", "-m", checkpoint, "--threads", "1", "--dataset", "coco", root} + more;
  }
  Arguments measure_results(const Arguments& more = {}) const {
    return Arguments{"eval", "--predictions", results, "--dataset", "coco", root} + more;
  }
  Json json(const Arguments& more = {}) const {
    return Json::parse(succeed(eval(Arguments{"--json", "-"} + more)));
  }
  // A truth for each instance, of which there is a file then.
  Json truths_of_results() const {
    succeed(eval({"-q", "--results", results}));
    Json annotations = Json::array();
    for (const Json& d : found()) {
      Json truth = d;  // its other fields are passed over
      truth["id"] = annotations.size() + 1;
      truth["iscrowd"] = 0;
      truth["area"] = d["bbox"][2].get<double>() * d["bbox"][3].get<double>();
      annotations.push_back(truth);
    }
    return annotations;
  }
  // Sixty photos in place of the three, the first of them broken, without truths.
  void write_many() const {
    Json images = Json::array();
    for (int id = 1; id <= 60; ++id) {
      const std::string name = "many" + std::to_string(id) + ".png";
      write_file(folder / "val2017/" + name, encode_png(photo(64, 48, static_cast<unsigned>(id))));
      images.push_back({{"id", id}, {"file_name", name}, {"width", 64}, {"height", 48}});
    }
    write_text(folder / "val2017/many1.png", "no picture");
    write_text(
        truth,
        Json{{"images", images}, {"annotations", Json::array()}, {"categories", four_categories()}}.dump());
  }
  Json found() const { return Json::parse(read_text(results)); }
};

}  // namespace atrous::cli_testing
