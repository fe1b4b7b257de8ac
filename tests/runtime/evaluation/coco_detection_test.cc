// COCO's measures against the protocol written out in NumPy (tests/python/make_coco_goldens.py) and against
// pycocotools' own numbers; what is refused in files of annotations and of results.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <sstream>

#include "runtime/evaluation/coco_detection.h"
#include "tests/support/dataset_testing.h"
#include "tests/support/golden.h"
#include "tests/support/image_helpers.h"
#include "weights_tools/io/json.h"

namespace atrous::coco_detection_test {

using namespace atrous::testing;

namespace {

std::vector<double> numbers(const std::string& text) {
  std::vector<double> out;
  std::istringstream in(text);
  for (std::string word; std::getline(in, word, ',');) out.push_back(std::stod(word));
  return out;
}

std::vector<double> listed(const CocoSummary& s) {
  return {s.ap,  s.ap50, s.ap75,  s.ap_small, s.ap_medium, s.ap_large,
          s.ar1, s.ar10, s.ar100, s.ar_small, s.ar_medium, s.ar_large};
}

std::vector<double> ap_of_categories(const CocoScores& scores) {
  std::vector<double> out;
  for (const CocoCategoryScore& c : scores.categories) out.push_back(c.ap);
  return out;
}

void check_equal(const std::vector<double>& found, const std::vector<double>& expected) {
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    CAPTURE(i);
    CHECK(std::abs(found[i] - expected[i]) <= 1e-9);
  }
}

struct Files : DatasetTree {
  CocoAnnotations truth(std::string_view json) const {
    file("truth.json", json);
    return read_coco_annotations(*this / "truth.json");
  }
  CocoResults results(std::string_view json) const {
    file("results.json", json);
    return read_coco_results(*this / "results.json");
  }
  // What is wrong, without the path.
  std::string refused(const std::string& name, std::string_view json) const {
    const std::string path = *this / name;
    const std::string said =
        sentence([&] { name == "truth.json" ? (void)truth(json) : (void)results(json); });
    if (!said.empty()) CHECK(said.starts_with(path + ": "));
    return said.empty() ? said : said.substr(path.size() + 2);
  }
};

// One image of 10x8 pixels, id 7, and one category, id 3.
std::string set_of(const std::string& annotations) {
  return R"({"images":[{"id":7,"width":10,"height":8,"file_name":"a.png"}],"categories":[{"id":3,"name":"cat"}],)"
         R"("annotations":[)" +
         annotations + "]}";
}
std::string annotation(int id, const std::string& rest) {
  return str_cat(R"({"image_id":7,"category_id":3,"id":)", id, ",", rest, "}");
}
const std::string boxed = R"("bbox":[0,0,4,4],"area":16,"iscrowd":0)";
std::string result(const std::string& rest) { return R"({"image_id":7,"category_id":3,)" + rest + "}"; }

const std::string data = ATROUS_SOURCE_DIR "/../shared/data/networks/coco-eval/";

}  // namespace

TEST_CASE("AP and AR are those of the protocol's definition") {
  for (const Golden& golden : read_goldens("coco_detection")) {
    const Files files;
    const CocoAnnotations truth = files.truth(golden.text("truth"));
    for (const std::string kind : {"bbox", "segm"}) {
      INFO(golden.name, ", ", kind);
      const CocoScores scores = measure_coco(truth, files.results(golden.text(kind)),
                                             kind == "bbox" ? CocoGeometry::boxes : CocoGeometry::masks);
      check_equal(listed(scores.summary), numbers(golden.text(kind + "_stats")));
      check_equal(ap_of_categories(scores), numbers(golden.text(kind + "_categories")));
    }
  }
}

TEST_CASE("AP and AR are pycocotools', for boxes and masks") {
  if (!std::filesystem::exists(data)) {
    std::puts("skipped: ../shared/data/networks/coco-eval is absent");
    return;
  }
  const auto expected = parse_json(as_text(read_file(data + "expected.json", 1 << 20)), 16, "expected.json");
  REQUIRE(expected);
  const CocoAnnotations truth = read_coco_annotations(data + "gt.json");
  for (const std::string kind : {"bbox", "segm"}) {
    CAPTURE(kind);
    const CocoScores scores = measure_coco(truth, read_coco_results(data + "dt_" + kind + ".json"),
                                           kind == "bbox" ? CocoGeometry::boxes : CocoGeometry::masks);
    const Json& of_kind = *expected->find(kind);
    std::vector<double> stats, ap, recall, found_recall;
    for (const Json& value : *of_kind.find("stats")->list()) stats.push_back(*value.number());
    for (const JsonMember& m : *of_kind.find("ap_per_category_all")->object())
      ap.push_back(*m.value.number());
    for (const JsonMember& m : *of_kind.find("recall_per_category_iou50_all_100")->object())
      recall.push_back(*m.value.number());
    for (const CocoCategoryScore& c : scores.categories) found_recall.push_back(c.recall50);
    check_equal(listed(scores.summary), stats);
    check_equal(ap_of_categories(scores), ap);
    check_equal(found_recall, recall);
    if (const Json* curve = of_kind.find("precision_101_iou50_first_category")) {
      std::vector<double> precision;
      for (const Json& value : *curve->list()) precision.push_back(*value.number());
      const auto& first = scores.categories.at(0).precision50;
      check_equal({first.begin(), first.end()}, precision);
    }
  }
}

TEST_CASE("boxes without masks are masks, masks without boxes are boxes") {
  const Files files;
  const CocoAnnotations truth = files.truth(set_of(annotation(
      1,
      R"("bbox":[2,1,3,4],"area":12,"iscrowd":0,"segmentation":{"size":[8,10],"counts":[17,4,4,4,4,4,43]})")));
  for (const std::string shape :
       {R"("bbox":[2,1,3,4])", R"("segmentation":{"size":[8,10],"counts":[17,4,4,4,4,4,43]})"})
    for (const CocoGeometry geometry : {CocoGeometry::boxes, CocoGeometry::masks})
      CHECK(measure_coco(truth, files.results("[" + result(R"("score":0.5,)" + shape) + "]"), geometry)
                .summary.ap == doctest::Approx(1).epsilon(1e-12));
}

TEST_CASE("results of other categories are counted apart, results of other images refused") {
  const Files files;
  const CocoAnnotations truth = files.truth(set_of(annotation(1, boxed)));
  const CocoScores scores =
      measure_coco(truth, files.results(R"([{"image_id":7,"category_id":4,"score":1,"bbox":[0,0,4,4]}])"),
                   CocoGeometry::boxes);
  CHECK(scores.other_categories == 1);
  CHECK(scores.detections == 0);
  CHECK(scores.summary.ap == 0);
  const CocoResults elsewhere =
      files.results(R"([{"image_id":8,"category_id":3,"score":1,"bbox":[0,0,4,4]}])");
  CHECK(contains(sentence([&] { measure_coco(truth, elsewhere, CocoGeometry::boxes); }),
                 "results.json: result 1 is of image 8, which is not in "));
}

TEST_CASE("a match with a truth of id 0 counts as none, as in pycocotools") {
  const Files files;
  const CocoScores scores =
      measure_coco(files.truth(set_of(annotation(0, boxed))),
                   files.results("[" + result(R"("score":1,"bbox":[0,0,4,4])") + "]"), CocoGeometry::boxes);
  CHECK(scores.truth_of_id_zero);
  CHECK(scores.summary.ap == 0);
}

TEST_CASE("files of results that are none are refused with what they lack") {
  const Files files;
  const std::pair<std::string, std::string> bad[] = {
      {"{}", "expected a list of results, found an object"},
      {"3", "expected a list of results, found none"},
      {"[", "not JSON, from its byte "},
      {R"([{"image_id":7,"category_id":3,"score":NaN,"bbox":[0,0,1,1]}])", "not JSON, from its byte "},
      {R"([{"image_id":7,"category_id":3,"score":1e999,"bbox":[0,0,1,1]}])", "not JSON, from its byte "},
      {"[" + result(R"("score":null,"bbox":[0,0,1,1])") + "]",
       "there is no number score (number 1 of results)"},
      {"[" + result(R"("score":"1","bbox":[0,0,1,1])") + "]", "there is no number score"},
      {R"([{"category_id":3,"score":1,"bbox":[0,0,1,1]}])", "there is no whole number image_id"},
      {R"([{"image_id":7.5,"category_id":3,"score":1,"bbox":[0,0,1,1]}])",
       "there is no whole number image_id"},
      {R"([{"image_id":7,"score":1,"bbox":[0,0,1,1]}])", "there is no whole number category_id"},
      {"[" + result(R"("score":1)") + "]", "there is neither bbox nor segmentation"},
      {"[" + result(R"("score":1,"bbox":[0,0,1])") + "]", "a result has a bbox of fewer than four numbers"},
      {"[" + result(R"("score":1,"bbox":[0,0,1,1,1,1])") + "]",
       "a result has a bbox of more than four numbers"},
      {"[" + result(R"("score":1,"bbox":[0,0,1,1])") + "," +
           result(R"("score":1,"segmentation":{"size":[8,10],"counts":[80]})") + "]",
       "there is no bbox, which the first result has (number 2 of results)"},
      {"[" + result(R"("score":1,"segmentation":{"counts":[80]})") + "]",
       "a result has a mask without a size"},
      {"[" + result(R"("score":1,"segmentation":{"size":[8,1e12],"counts":[80]})") + "]",
       "a result has a mask without a size"},
      {"[" + result(R"("score":1,"segmentation":{"size":[8,10],"counts":[-1]})") + "]",
       "a result has a run of -1"},
      {"[" + result(R"("score":1,"segmentation":{"size":[8,10],"counts":[1e30]})") + "]",
       "a result has a run of 1e+30"},
      {"[" + result(R"("score":1,"segmentation":{"size":[8,10],"counts":[0.5]})") + "]",
       "a result has a run of 0.5"},
      {"[" + result(R"("score":1,"segmentation":{"size":[8,10],"counts":"ooooooooooo"})") + "]",
       "the compressed runs of a mask are damaged"}};
  for (const auto& one : bad) {
    CAPTURE(one.first);
    CHECK(contains(files.refused("results.json", one.first), one.second));
  }
}

TEST_CASE("annotations without what is measured are refused") {
  const Files files;
  const std::string image = R"({"id":7,"width":10,"height":8})", category = R"({"id":3})";
  const auto set = [](const std::string& images, const std::string& categories) {
    return R"({"images":[)" + images + R"(],"annotations":[],"categories":[)" + categories + "]}";
  };
  const std::pair<std::string, std::string> bad[] = {
      {"[]", "expected an object with images and annotations, found a list"},
      {"{}", "expected lists of images and annotations, found none"},
      {set_of(annotation(1, R"("bbox":[0,0,1,1])")), "annotation 1 has no number area"},
      {set_of(annotation(1, R"("area":1,"bbox":[0])")), "annotation 1 has a bbox of fewer than four numbers"},
      {set_of(annotation(1, boxed) + "," + annotation(1, boxed)), "two annotations have the id 1"},
      {set(image + "," + image, category), "two images have the id 7"},
      {set(image, category + "," + category), "two categories have the id 3"},
      {set(R"({"id":7,"width":100000,"height":100000})", category), "image 7 is 100000x100000"}};
  for (const auto& one : bad) {
    CAPTURE(one.first);
    CHECK(contains(files.refused("truth.json", one.first), one.second));
  }
}

TEST_CASE("what cannot be measured is refused with the annotation or the result") {
  const Files files;
  const CocoAnnotations truth = files.truth(set_of(annotation(5, boxed)));
  const CocoAnnotations masks =
      files.truth(set_of(annotation(5, R"("area":16,"segmentation":{"size":[8,10],"counts":[80]})")));
  const auto said = [](const CocoAnnotations& t, const CocoResults& r, CocoGeometry geometry) {
    return sentence([&] { measure_coco(t, r, geometry); });
  };
  const CocoResults box = files.results("[" + result(R"("score":1,"bbox":[0,0,4,4])") + "]");
  CHECK(contains(said(truth, box, CocoGeometry::masks), "annotation 5: there is no segmentation"));
  CHECK(contains(said(masks, box, CocoGeometry::boxes), "annotation 5: there is no bbox"));
  const CocoResults other =
      files.results("[" + result(R"("score":1,"segmentation":{"size":[10,8],"counts":[80]})") + "]");
  CHECK(contains(said(masks, other, CocoGeometry::masks), "result 1: its mask is 8x10, the image 10x8"));
  const CocoResults less =
      files.results("[" + result(R"("score":1,"segmentation":{"size":[8,10],"counts":[79]})") + "]");
  CHECK(contains(said(masks, less, CocoGeometry::masks), "result 1: the runs of a mask add up to less than"));
  const CocoResults far = files.results("[" + result(R"("score":1,"bbox":[0,0,1e9,4])") + "]");
  CHECK(contains(said(truth, far, CocoGeometry::boxes),
                 "result 1: its box has the number 1e+09, beyond 1e+06"));
  CocoResults nan = box;
  nan.detections[0].score = std::numeric_limits<double>::quiet_NaN();
  CHECK(contains(said(truth, nan, CocoGeometry::boxes), "result 1: its score is nan"));
}

TEST_CASE("results are written as they are read") {
  const Files files;
  const std::string text = "[" +
                           result(R"("score":0.1,"bbox":[0.25,1e-07,4.0,1000.1],)"
                                  R"("segmentation":{"size":[8,10],"counts":[17,4,4,4,4,4,43]})") +
                           "]";
  const CocoResults read = files.results(text), again = files.results(coco_results_json(read));
  REQUIRE(again.detections.size() == 1);
  CHECK(again.detections[0].image == 7);
  CHECK(again.detections[0].category == 3);
  CHECK(again.detections[0].score == 0.1);
  CHECK(*again.detections[0].box == CocoBox{0.25, 1e-07, 4.0, 1000.1});
  CHECK(again.detections[0].mask->runs == std::vector<std::uint32_t>{17, 4, 4, 4, 4, 4, 43});
  CHECK(contains(coco_results_json(read), R"("counts":"a044000W1")"));  // make_coco_goldens.py's
  CHECK(coco_results_json({}) == "[]\n");
  CocoResults bad = read;
  bad.detections[0].mask->runs = {1};
  CHECK(contains(sentence([&] { coco_results_json(bad); }), "result 1: the runs of a mask add up to less"));
  bad.detections[0].mask->polygons = {{0, 0, 5, 5, 5, 0}};
  CHECK(
      contains(sentence([&] { coco_results_json(bad); }), "result 1: the mask has polygons, expected runs"));
}

TEST_CASE("compressed runs are short and come back") {
  for (const std::vector<std::uint32_t>& runs : {std::vector<std::uint32_t>{},
                                                 {0, 5},
                                                 {15, 16, 31, 32, 1023, 1024, 1},
                                                 {2147483648u, 0, 7, 2147483648u, 0}})
    CHECK(decode_coco_runs(encode_coco_runs(runs)) == runs);
  CHECK(encode_coco_runs(std::vector<std::uint32_t>{15, 16, 1}) == "?`01");
}

TEST_CASE("a mask's box goes around it, a span over several columns fills them") {
  CHECK(coco_box_around(std::vector<CocoSpan>{{17, 21}, {25, 29}}, 8) == CocoBox{2, 1, 2, 4});
  CHECK(coco_box_around(std::vector<CocoSpan>{{17, 26}}, 8) == CocoBox{2, 0, 2, 8});
  CHECK(coco_box_around({}, 8) == CocoBox{0, 0, 0, 0});
}

}  // namespace atrous::coco_detection_test
