// atrous eval --dataset coco of a model that finds instances: the way from photos to COCO's figures.
#include <algorithm>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>

#include "runtime/instances/detector.h"
#include "tests/support/instance_bench.h"

namespace atrous::eval_instances_test {

using namespace atrous::cli_testing;

namespace {

// COCO's text of run lengths: groups of five bits, lowest first, 48 added; 32 says that another follows, the
// last group's 16 is the sign; from the fourth number on the difference to the one before the last.
std::vector<std::int64_t> decoded_runs(const std::string& text) {
  std::vector<std::int64_t> runs;
  for (std::size_t at = 0; at < text.size();) {
    std::int64_t value = 0;
    int shift = 0;
    for (bool more = true; more; shift += 5) {
      const int group = text[at++] - 48;
      value |= static_cast<std::int64_t>(group & 31) << shift;
      more = (group & 32) != 0;
      if (!more && (group & 16) != 0) value |= -(std::int64_t{1} << (shift + 5));
    }
    if (runs.size() > 2) value += runs[runs.size() - 2];
    runs.push_back(value);
  }
  return runs;
}

// The probability image by its definition, in double: the mask with a rim of zeros, its box grown alike and
// cut to whole pixels, bilinear with half-pixel centres; -1 where the cut is within rounding.
struct Paste {
  const Instances& all;
  const Instance& one;
  double scale = static_cast<double>(all.mask_side + 2) / static_cast<double>(all.mask_side);
  struct Side {
    std::int64_t low, high;
    bool sure;
  };
  Side side(double a, double b) const {
    const double middle = (a + b) / 2, half = (b - a) / 2 * scale;
    const auto sure = [](double v) { return std::abs(v - std::round(v)) > 1e-3; };
    return {static_cast<std::int64_t>(middle - half), static_cast<std::int64_t>(middle + half),
            sure(middle - half) && sure(middle + half)};
  }
  double padded(std::int64_t row, std::int64_t column) const {
    const std::int64_t last = all.mask_side + 1;
    if (row <= 0 || column <= 0 || row >= last || column >= last) return 0;
    return static_cast<double>(one.mask[static_cast<std::size_t>((row - 1) * all.mask_side + column - 1)]);
  }
  double at(int x, int y) const {
    const Side h = side(static_cast<double>(one.box.x1), static_cast<double>(one.box.x2)),
               v = side(static_cast<double>(one.box.y1), static_cast<double>(one.box.y2));
    if (x < h.low || x > h.high || y < v.low || y > v.high) return 0;
    const auto place = [&](std::int64_t pixel, const Side& s) {
      const auto cells = static_cast<double>(all.mask_side + 2);
      return std::max(
          (static_cast<double>(pixel - s.low) + 0.5) * cells / static_cast<double>(s.high - s.low + 1) - 0.5,
          0.0);
    };
    const double row = place(y, v), column = place(x, h);
    const double r = std::floor(row), c = std::floor(column), fr = row - r, fc = column - c;
    const auto ri = static_cast<std::int64_t>(r), ci = static_cast<std::int64_t>(c);
    return (1 - fr) * ((1 - fc) * padded(ri, ci) + fc * padded(ri, ci + 1)) +
           fr * ((1 - fc) * padded(ri + 1, ci) + fc * padded(ri + 1, ci + 1));
  }
  bool is_sure() const {
    return side(static_cast<double>(one.box.x1), static_cast<double>(one.box.x2)).sure &&
           side(static_cast<double>(one.box.y1), static_cast<double>(one.box.y2)).sure;
  }
};

}  // namespace

TEST_CASE_FIXTURE(InstanceBench, "a model's figures are those of the results that it writes") {
  Json annotations = truths_of_results();
  for (std::size_t i = 0; i < annotations.size(); ++i) {
    Json& a = annotations[i];
    if (i % 3 == 0) a["bbox"][2] = a["bbox"][2].get<double>() * 0.8;
    if (i % 5 == 0) a["category_id"] = 1;
    if (i % 7 == 0) a["iscrowd"] = 1;
  }
  write_truth(annotations);
  const Json own = json({"--results", results});
  const Json theirs = Json::parse(succeed(measure_results({"--json", "-"})));
  REQUIRE(own["detections"] > 20);
  for (const char* key : {"dataset", "images", "truths", "crowds", "detections", "bbox", "segm"})
    CHECK_MESSAGE(own[key] == theirs[key], key);
  for (const char* geometry : {"bbox", "segm"}) {
    CHECK_MESSAGE(own[geometry]["summary"]["ap"] > 0.3, geometry);
    CHECK_MESSAGE(own[geometry]["summary"]["ap"] < 0.95, geometry);
  }
  CHECK(own["images"] == 3);
  CHECK(own["model"] == "net.safetensors");
  CHECK(own["architecture"] == "maskrcnn_resnet(1,1,1,1)_fpn");
  CHECK(own["seconds"] > 0);
  CHECK(own["failed"].empty());

  const auto without_first_line = [](const std::string& text) { return text.substr(text.find('\n')); };
  const std::string table = succeed(eval()), measured = succeed(measure_results());
  CHECK(table.starts_with("net.safetensors on "));
  const std::string tables =
      without_first_line(measured).substr(0, without_first_line(measured).find("-1: no"));
  CHECK(mentions(table, tables));
  CHECK(succeed(eval({"--csv", "-"})) == succeed(measure_results({"--csv", "-"})));
}

TEST_CASE_FIXTURE(InstanceBench,
                  "the results hold the library's instances, masks by the definition of pasting") {
  succeed(eval({"-q", "--results", results}));
  const Json found = this->found();
  const Model model = load_model(checkpoint);
  Detector detector(model, {.threads = 1});
  std::size_t place = 0, pixels = 0, inside = 0, masks = 0;
  for (const std::size_t index : {1U, 2U, 0U}) {  // by id
    const Picture& p = pictures[index];
    const Instances instances = detector.detect(photo(p.width, p.height, p.seed));
    REQUIRE(!instances.found.empty());
    for (const Instance& one : instances.found) {
      REQUIRE(place < found.size());
      const Json& d = found[place++];
      CHECK(d["image_id"] == p.id);
      CHECK(d["category_id"] == one.label);
      CHECK(d["score"].get<double>() == static_cast<double>(one.score));
      const float expected[] = {one.box.x1, one.box.y1, one.box.x2 - one.box.x1, one.box.y2 - one.box.y1};
      for (std::size_t i = 0; i < 4; ++i)
        CHECK(d["bbox"][i].get<double>() == static_cast<double>(expected[i]));
      CHECK(d["segmentation"]["size"] == Json{p.height, p.width});
      const auto runs = decoded_runs(d["segmentation"]["counts"]);
      std::vector<bool> mask;
      for (std::size_t r = 0; r < runs.size(); ++r)
        mask.insert(mask.end(), static_cast<std::size_t>(runs[r]), r % 2 != 0);
      REQUIRE(mask.size() == static_cast<std::size_t>(p.width * p.height));
      const Paste paste{instances, one};
      if (!paste.is_sure()) continue;
      ++masks;
      std::size_t wrong = 0;
      for (int x = 0; x < p.width; ++x)
        for (int y = 0; y < p.height; ++y) {
          const double probability = paste.at(x, y);
          if (std::abs(probability - 0.5) < 1e-5) continue;
          const bool is_inside = mask[static_cast<std::size_t>(x * p.height + y)];
          ++pixels;
          inside += is_inside;
          wrong += is_inside != (probability > 0.5);
        }
      CHECK(wrong == 0);
    }
  }
  CHECK(place == found.size());
  CHECK(masks > place / 2);
  CHECK(inside > 0);
  CHECK(inside < pixels);
}

TEST_CASE_FIXTURE(InstanceBench, "truths made of a model's own instances give an AP of 1") {
  const Json annotations = truths_of_results();
  write_truth(annotations);
  const Json own = json();
  CHECK(own["truths"] == annotations.size());
  for (const char* geometry : {"bbox", "segm"}) {
    CAPTURE(geometry);
    const Json& summary = own[geometry]["summary"];
    for (const char* key : {"ap", "ap50", "ap75", "ar100"})
      CHECK_MESSAGE(summary[key].get<double>() == doctest::Approx(1).epsilon(1e-9), key);
  }
}

TEST_CASE("a network of boxes alone has boxes measured and written") {
  const InstanceBench bench(small_state("fasterrcnn_resnet(1,1,1,1)_fpn"));
  bench.write_truth(bench.truths_of_results());
  const Json own = bench.json();
  CHECK(own["bbox"]["summary"]["ap"].get<double>() == doctest::Approx(1).epsilon(1e-9));
  CHECK(own["segm"].is_null());
  CHECK(own["detections"] > 20);
  for (const Json& d : bench.found()) CHECK_FALSE(d.contains("segmentation"));
  CHECK_FALSE(mentions(succeed(bench.eval()), "mask"));
}

TEST_CASE_FIXTURE(InstanceBench,
                  "the number of threads changes nothing, and a memory limit names the image") {
  succeed(eval({"-q", "--results", results}));
  const std::string one = read_text(results);
  Arguments three = eval({"-q", "--results", results});
  *std::ranges::find(three, "1") = "3";
  succeed(three);
  CHECK(read_text(results) == one);
  refuse(1, eval({"--strict", "--memory-limit", "100KB"}), {"a.png", "limit"});
}

TEST_CASE_FIXTURE(InstanceBench, "--score, --iou and --max-instances decide which instances there are") {
  const auto count = [&](const Arguments& more) { return json(more)["detections"].get<int>(); };
  const int all = count({});
  CHECK(count({"--max-instances", "2"}) == 6);
  CHECK(count({"--iou", "0"}) < all);
  succeed(eval({"-q", "--results", results}));
  std::vector<double> scores;
  for (const Json& d : found()) scores.push_back(d["score"]);
  std::ranges::sort(scores);
  const double middle = (scores[scores.size() / 2] + scores[scores.size() / 2 - 1]) / 2;
  const auto above = static_cast<double>(static_cast<float>(middle));
  CHECK(count({"--score", Json(middle).dump()}) ==
        std::ranges::count_if(scores, [&](double s) { return s > above; }));
}

TEST_CASE_FIXTURE(InstanceBench, "--limit measures the first images by id, and their truths alone") {
  const Json two = json({"--limit", "2", "--results", results});
  CHECK(two["images"] == 2);
  CHECK(two["truths"] == 2);
  CHECK(mentions(two["notes"].dump(), "the first 2 of 3 images alone"));
  for (const Json& d : found()) CHECK(d["image_id"] != 40);
}

TEST_CASE_FIXTURE(InstanceBench, "a broken image and its truths are left out, or end a strict run") {
  write_text(folder / "val2017/b.png", "no picture");
  const ProcessResult r = run_atrous(eval({"--json", folder / "all.json"}));
  CHECK(r.exit_code == 0);
  CHECK(mentions(r.errors, "b.png"));
  CHECK(mentions(r.errors, "1 of 3 images failed"));
  const Json all = Json::parse(read_text(folder / "all.json"));
  CHECK(all["images"] == 2);
  CHECK(all["truths"] == 2);
  CHECK(all["failed"][0]["name"] == "b.png");
  CHECK(mentions(all["notes"].dump(), "1 of 3 images failed; they and their truths do not count"));
  refuse(1, eval({"--strict"}), {"b.png"});

  write_file(folder / "val2017/b.png", encode_png(photo(60, 90)));
  refuse(1, eval({"--strict"}), {"b.png: expected 90x60 pixels, as the annotations have it, found 60x90"});
  std::filesystem::remove(folder / "val2017/b.png");
  refuse(1, eval(), {"b.png: no such photo; 1 of 3 photos are missing"});
}

TEST_CASE_FIXTURE(InstanceBench,
                  "photos are found beside the folder of annotations, beside the file, or where told") {
  const Json by_root = json()["bbox"];
  const auto of_file = [&](const std::string& file, const Arguments& more = {}) {
    return Json::parse(succeed(
        Arguments{"eval", "-m", checkpoint, "--threads", "1", "--dataset", "coco", file, "--json", "-"} +
        more))["bbox"];
  };
  CHECK(of_file(truth) == by_root);
  std::filesystem::copy_file(truth, folder / "val2017/_annotations.coco.json");
  CHECK(of_file(folder / "val2017/_annotations.coco.json") == by_root);
  std::filesystem::copy_file(truth, folder / "mine.json");
  CHECK(of_file(folder / "mine.json", {"--images", folder / "val2017"}) == by_root);
  refuse(1, {"eval", "-m", checkpoint, "--dataset", "coco", folder / "mine.json"},
         {"a.png: no such photo; 3 of 3"});
  std::filesystem::create_directory(folder / "images");
  std::filesystem::rename(folder / "val2017", folder / "images/val2017");
  CHECK(json()["bbox"] == by_root);
}

TEST_CASE_FIXTURE(InstanceBench,
                  "classes are categories by name, which --classes gives, or by their numbers") {
  CHECK(mentions(json()["notes"][0],
                 "4 of the model's 4 classes are categories of the annotations, by their numbers"));
  write_text(folder / "names.txt", "background\nThing 2\nother\nthing 1\nthing 9\n");
  const Json named = json({"--classes", folder / "names.txt", "--results", results});
  CHECK(mentions(named["notes"][0],
                 "2 of the model's 4 classes are categories of the annotations, by their names"));
  CHECK(mentions(named["notes"].dump(), "no class of the model is: "));
  CHECK(mentions(named["notes"].dump(), "instances were of classes that are no category"));
  const Json by_name = found();
  succeed(eval({"-q", "--results", results}));
  std::vector<Json> expected;
  for (Json d : found()) {
    const std::map<int, int> to{{1, 2}, {3, 1}};
    const auto category = to.find(d["category_id"].get<int>());
    if (category == to.end()) continue;
    d["category_id"] = category->second;
    expected.push_back(d);
  }
  CHECK(by_name == Json(expected));
  write_truth(Json::array(), Json::array({{{"id", 9}, {"name", "nine"}}}));
  refuse(1, eval(), {"none of its 1 categories has the name or, from 1 to 4, the number"});
}

TEST_CASE_FIXTURE(InstanceBench, "annotations of boxes alone have boxes measured, and said so") {
  Json annotations = Json::array();
  annotations.push_back({{"id", 1},
                         {"image_id", 7},
                         {"category_id", 1},
                         {"area", 600},
                         {"iscrowd", 0},
                         {"bbox", {5, 5, 30, 20}},
                         {"segmentation", Json::array()}});
  write_truth(annotations);
  const Json all = json();
  CHECK(all["segm"].is_null());
  CHECK(
      mentions(all["notes"].dump(), "annotations without a segmentation: boxes are measured, masks are not"));
}

TEST_CASE_FIXTURE(InstanceBench, "what does not go together with instances is refused by name") {
  for (const Arguments& option : std::vector<Arguments>{{"--crf"},
                                                        {"--protocol", "encnet"},
                                                        {"--scales", "1"},
                                                        {"--palette", "voc"},
                                                        {"--threshold", "0.5"},
                                                        {"--no-resize"},
                                                        {"--map", "x"},
                                                        {"--ignore", "255"},
                                                        {"--at", "original"},
                                                        {"--no-scores"},
                                                        {"--images-csv", "-"}})
    refuse(2, eval(option), {option[0], "is for label maps, --dataset coco has detections"});
  for (const Arguments& option : std::vector<Arguments>{{"--score", "0.5"},
                                                        {"--iou", "0.5"},
                                                        {"--max-instances", "5"},
                                                        {"--results", folder / "x.json"},
                                                        {"--images", root}}) {
    write_text(results, "[]");
    refuse(2, measure_results(option), {option[0], "a model that finds instances, not for --predictions"});
    refuse(2, Arguments{"eval", "-m", checkpoint, "--dataset", "pairs", root, root} + option,
           {option[0], "a model that finds instances, not for label maps"});
  }
  refuse(2, eval({"--score", "1"}), {"--score"});
  refuse(2, eval({"--json", "-", "--results", "-"}), {"one of them can go to standard output"});
  refuse(1, eval({"--results", folder / "nowhere/x.json"}), {"there is no folder"});
}

TEST_CASE_FIXTURE(InstanceBench, "label maps are not measured with a model of instances, nor the other way") {
  write_file(folder / "val2017/a.labels.png",
             encode_png(Image{64, 48, 1, std::vector<std::uint8_t>(64 * 48)}));
  std::filesystem::remove(folder / "val2017/b.png");
  std::filesystem::remove(folder / "val2017/c.png");
  refuse(
      2, {"eval", "-m", checkpoint, "--dataset", "pairs", folder / "val2017", folder / "val2017"},
      {"maskrcnn_resnet(1,1,1,1)_fpn finds instances: --dataset coco measures them, pairs has label maps"});
  const Bench semantic;
  refuse(2, {"eval", "-m", semantic.checkpoint, "--dataset", "coco", root},
         {"--predictions results.json; or a model that finds instances, which deeplabv3_resnet(1,1,1,1) does "
          "not"});
}

}  // namespace atrous::eval_instances_test
