// The page and the pictures of an evaluation of detections.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <set>

#include "runtime/image/image_read.h"
#include "runtime/report/detection_pictures.h"
#include "tests/support/detection_report_testing.h"
#include "weights_tools/io/file.h"

namespace atrous::detection_report_test {

using namespace atrous::report_testing;
namespace fs = std::filesystem;

namespace {

const Image& plain_photo() {
  static const Image photo{120, 90, 3, std::vector<std::uint8_t>(120 * 90 * 3, 200)};
  return photo;
}

void write(const std::string& folder, const CocoEvaluation& e, std::size_t most = 50) {
  DetectionReport report(folder);
  for (const std::size_t image : report.begin(e, most))
    report.add(image, encode_png(plain_photo()), plain_photo());
  report.finish();
}

Colour at(const Image& image, int x, int y) {
  const std::uint8_t* pixel = image.row(y) + 3 * x;
  return {pixel[0], pixel[1], pixel[2]};
}

std::size_t times(std::string_view text, std::string_view part) {
  std::size_t n = 0;
  for (std::size_t found = text.find(part); found != text.npos; found = text.find(part, found + 1)) ++n;
  return n;
}

constexpr Colour grey{200, 200, 200}, dark{80, 80, 80};  // the photo; two fifths of it
constexpr Colour right{236, 240, 243}, wrong{204, 51, 17}, missed{255, 190, 30};
constexpr Colour first{128, 0, 0}, second{0, 128, 0}, third{128, 128, 0};  // VOC's
constexpr Colour half(const Colour& c) {
  const auto mean = [](int v) { return static_cast<std::uint8_t>((200 + v) / 2); };
  return {mean(c[0]), mean(c[1]), mean(c[2])};
}

}  // namespace

TEST_CASE("a report of detections is one page and four pictures of an image") {
  const testing::TemporaryFolder folder;
  write(folder / "deep/report", drawn_detections({"a.png"}));
  CHECK(names_in(folder / "deep/report") == std::vector<std::string>{"images", "index.html"});
  CHECK(names_in(folder / "deep/report/images") ==
        std::vector<std::string>{"a.png-10-errors.png", "a.png-10-found.png", "a.png-10-photo.png",
                                 "a.png-10-truth.png"});
  const std::string page = text_of(folder / "deep/report/index.html");
  CHECK(page.starts_with("<!doctype html>"));
  CHECK(!contains(page, "{{"));
  for (const char* outside : {"http:", "https:", "<link rel=\"stylesheet", "src=\"", "@import", "url("}) {
    CAPTURE(outside);
    CHECK(times(page, outside) == (std::string_view(outside) == "http:" ? 1 : 0));  // SVG's namespace
  }
}

TEST_CASE("the pictures show truths, what was found, and what was wrong and missed") {
  const CocoEvaluation e = drawn_detections({"a.png"});
  const auto scores = score_coco_images(e, 0.5);
  const DetectionPictures drawn = draw_detections(plain_photo(), e, 0, scores[0]);
  // Within the masks, away from outlines and letters, and elsewhere.
  CHECK(at(drawn.found, 18, 65) == half(first));
  CHECK(at(drawn.found, 85, 30) == half(second));
  CHECK(at(drawn.found, 85, 68) == grey);
  CHECK(at(drawn.truth, 18, 65) == half(first));
  CHECK(at(drawn.truth, 85, 68) == half(third));  // a colour that no detection has
  CHECK(at(drawn.truth, 85, 30) == grey);
  CHECK(at(drawn.truth, 30, 5) == grey);
  CHECK(at(drawn.errors, 30, 5) == dark);
  CHECK(at(drawn.errors, 18, 65) == dark);
  // The boxes' lower right corners, which captions leave free.
  CHECK(at(drawn.found, 34, 75) == first);
  CHECK(at(drawn.found, 100, 38) == second);
  CHECK(at(drawn.truth, 34, 74) == first);
  CHECK(at(drawn.truth, 100, 78) == third);
  CHECK(at(drawn.errors, 34, 75) == right);
  CHECK(at(drawn.errors, 100, 38) == wrong);
  CHECK(at(drawn.errors, 100, 78) == missed);
}

TEST_CASE("without measured masks there are boxes alone, and of masks alone the boxes around them") {
  CocoEvaluation e = drawn_detections({"a.png"});
  for (CocoDetection& d : e.results.detections) d.box.reset();
  measure(e);
  const DetectionPictures masks = draw_detections(plain_photo(), e, 0, score_coco_images(e, 0.5)[0]);
  CHECK(at(masks.found, 18, 65) == half(first));
  CHECK(at(masks.found, 34, 75) == first);
  e.masks.reset();
  const DetectionPictures boxes = draw_detections(plain_photo(), e, 0, score_coco_images(e, 0.5)[0]);
  CHECK(at(boxes.found, 18, 65) == grey);
  CHECK(at(boxes.found, 34, 75) == first);
}

TEST_CASE("the page of detections carries the figures") {
  const testing::TemporaryFolder folder;
  CocoEvaluation e = drawn_detections({"a.png", "b.png"});
  e.notes = {"a note"};
  e.failed = {{"c.png", "is no picture"}};
  write(folder.path(), e);
  const Json data = data_of(folder.path());
  CHECK(data["model"] == "model.pth");
  CHECK(data["dataset"] == "drawn.json");
  CHECK(data["seconds"] == 2.5);
  CHECK(data["notes"] == Json::parse(R"(["a note"])"));
  CHECK(data["failed"] == Json::parse(R"([["c.png", "is no picture"]])"));
  CHECK(data["counts"] == Json{{"images", 2}, {"truths", 3}, {"crowds", 0}, {"detections", 3}});
  const auto is_figure = [](const Json& found, double expected) {
    CHECK(found.get<double>() == doctest::Approx(expected).epsilon(1e-5));
  };
  is_figure(data["summary"]["boxes"]["ap50"], e.boxes.summary.ap50);
  is_figure(data["summary"]["masks"]["ap"], e.masks->summary.ap);
  is_figure(data["classes"][0]["masks"]["ap75"], e.masks->categories[0].ap75);
  CHECK(data["summary"]["boxes"]["ap_large"].is_null());  // no such truths
  CHECK(data["classes"][2]["boxes"]["ap"].is_null());
  CHECK(data["classes"][2]["name"] == "hovercraft");
  CHECK(data["classes"][0]["colour"] == "#800000");
  // Both cats are found by detections of one score; the dog by none.
  const Json& curves = data["curves"]["boxes"];
  CHECK(curves[0].size() == 101);
  CHECK(curves[0][100] == Json::parse("[0.875, 1.0, 1.0]"));
  CHECK(curves[1].empty());
  CHECK(curves[2].empty());
  const Json& image = data["images"][0];
  CHECK(image["right"] == Json::parse("[[0, 0.875]]"));
  CHECK(image["wrong"] == Json::parse("[[1, 0.625]]"));
  CHECK(image["missed"] == Json::parse("[1]"));
  CHECK(image["f1"] == 0.5);
  CHECK(data["images"][1]["f1"] == 1);
  CHECK(image["pictures"]["found"] == "images/a.png-10-found.png");

  e.masks.reset();
  e.seconds.reset();
  write(folder.path(), e);
  const Json boxes = data_of(folder.path());
  CHECK(boxes["summary"]["masks"].is_null());
  CHECK(boxes["curves"]["masks"].is_null());
  CHECK(boxes["classes"][0]["masks"].is_null());
  CHECK(boxes["seconds"].is_null());
}

TEST_CASE("pictures are of the worst images alone, those that were asked for") {
  const testing::TemporaryFolder folder;
  write(folder.path(), drawn_detections({"good.png", "better.png", "best.png"}), 1);
  const Json data = data_of(folder.path());
  CHECK(data["images"][0].contains("pictures"));  // the first has the mistakes
  CHECK(!data["images"][1].contains("pictures"));
  CHECK(names_in(folder / "images").size() == 4);
  // A report of the same folder without pictures says that it has none, though there are some.
  DetectionReport again(folder.path());
  const CocoEvaluation e = drawn_detections({"good.png"});
  again.begin(e, 1);
  again.finish();
  CHECK(!data_of(folder.path())["images"][0].contains("pictures"));
}

TEST_CASE("hostile names of images and categories stay within the report, as text") {
  const std::string name = "</script><!--<script>alert(\"1\")</script>&amp;'";
  const std::vector<std::string> names{"../x", "/etc/passwd", "a/b.png", "a_b.png", "A/b.png", "",
                                       "",     name,          name};
  const testing::TemporaryFolder folder;
  CocoEvaluation e = drawn_detections(names);
  e.model = "</title>" + name;
  e.truth.categories[0].name = name;
  e.boxes.categories[0].name = name;
  write(folder / "report", e);
  CHECK(names_in(folder.path()) == std::vector<std::string>{"report"});
  CHECK(names_in(folder / "report").size() == 2);
  CHECK(names_in(folder / "report/images").size() == 4 * names.size());
  const std::string page = text_of(folder / "report/index.html");
  CHECK(times(page, "</script>") == 2);
  CHECK(times(page, "<script") == 2);
  CHECK(times(page, "</title>") == 1);
  CHECK(!contains(page, "<!--"));
  const Json data = data_of(folder / "report");
  CHECK(data["images"][7]["name"] == name);
  CHECK(data["images"][5]["name"] == "image 15");
  CHECK(data["classes"][0]["name"] == name);
  std::set<std::string> photos;
  for (const Json& image : data["images"]) {
    const std::string photo = image["pictures"]["photo"];
    CHECK(fs::exists(folder / ("report/" + photo)));
    photos.insert(photo);
  }
  CHECK(photos.size() == names.size());
}

TEST_CASE("more instances than there are colours are drawn, in the first ones again") {
  CocoEvaluation e = drawn_detections({"a.png"});
  e.results.detections.clear();
  e.truth.annotations.clear();
  // Three categories, of which 100 detections an image are compared each.
  for (int i = 0; i < 300; ++i)
    add_result(e, 0, 1 + i % 3, 1 - 0.001 * i,
               {static_cast<double>(i % 50), static_cast<double>(i / 50), 2, 2});
  add_truth(e, 0, 1, {4, 50, 30, 24});
  measure(e);
  const auto scores = score_coco_images(e, 0.5);
  CHECK(scores[0].wrong.size() == 300);
  CHECK_NOTHROW(draw_detections(plain_photo(), e, 0, scores[0]));
}

TEST_CASE("a report of detections is refused another photo, and a page of nothing") {
  const testing::TemporaryFolder folder;
  const CocoEvaluation e = drawn_detections({"a.png"});
  DetectionReport report(folder.path());
  CHECK(contains(sentence([&] { report.finish(); }), "the report has no evaluation yet"));
  CHECK(contains(sentence([&] { report.add(0, {}, plain_photo()); }), "the report has no evaluation yet"));
  report.begin(e, 1);
  const Image small = noise(30, 90, 3), flat = noise(120, 90, 1);
  CHECK(contains(sentence([&] { report.add(0, {}, small); }),
                 "a.png: photo: expected 120x90 pixels, as the annotations have it, found 30x90"));
  CHECK(contains(sentence([&] { report.add(0, {}, flat); }), "expected 3 channels, found 1"));
  CHECK(names_in(folder / "images").empty());
  CocoEvaluation unmeasured = e;
  unmeasured.boxes = {};
  CHECK(contains(sentence([&] { report.begin(unmeasured, 1); }), "scores of 0 results and 0 annotations"));

  write_file(folder / "file", bytes("x"));
  CHECK(contains(sentence([&] { DetectionReport(folder / "file/deeper"); }), "file/deeper: cannot make"));
  fs::create_directory(folder / "index.html");
  CHECK(contains(sentence([&] { report.finish(); }), "index.html"));
}

// Asked for by tests/python/report_browser.py, which looks at it in a browser: 130 images, the 12 worst with
// pictures.
TEST_CASE("a sample report of detections for the browser" * doctest::skip()) {
  const char* folder = std::getenv("ATROUS_REPORT_SAMPLE");
  REQUIRE(folder != nullptr);
  std::vector<std::string> names{"<b>\"odd\" &amp; 'name'</b>.png"};
  for (int i = 1; i < 130; ++i) names.push_back((i % 2 ? "street_" : "park_") + std::to_string(i) + ".png");
  CocoEvaluation e = drawn_detections(names);
  for (std::size_t i = 4; i < 60; i += 4)
    add_result(e, i, 2, 0.5 + 0.005 * static_cast<double>(i), {70, 18, 30, 20});
  for (std::size_t i = 8; i < 60; i += 8) add_truth(e, i, 2, {70, 19, 30, 20});
  measure(e);
  e.notes = {"a note of the run"};
  e.failed = {{"<img src=x onerror=alert(1)>", "broken.jpg: truncated: 7 bytes, </script> or not"}};
  DetectionReport report(folder);
  const Image photo = noise(120, 90, 3);
  for (const std::size_t image : report.begin(e, 12)) report.add(image, encode_png(photo), photo);
  report.finish();
}

}  // namespace atrous::detection_report_test
