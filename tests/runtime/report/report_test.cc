#include <doctest/doctest.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <set>

#include "runtime/image/image_read.h"
#include "runtime/image/label_read.h"
#include "runtime/report/report_data.h"
#include "tests/support/report_testing.h"
#include "weights_tools/io/file.h"

namespace atrous::report_test {

using namespace atrous::report_testing;
namespace fs = std::filesystem;

namespace {

// A report of one image, `name`, into `folder`.
struct OneImage {
  Image photo = noise(24, 10, 3);
  FileBytes photo_file = encode_png(photo);
  LabelMap truth = with_void_row(stripes(24, 10, 3, 0)), prediction = stripes(24, 10, 3, 2);
  Evaluation numbers = evaluation(true);

  void write(const std::string& folder, const std::string& name, int ignore = 255) {
    count(numbers, name, truth, prediction);
    Report report(folder, numbers.palette);
    report.add({name, photo_file, photo, truth, prediction, ignore});
    report.finish(numbers);
  }
};

std::size_t occurrences(std::string_view text, std::string_view part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++n;
  return n;
}

void check_finite(const Json& json) {
  if (json.is_number_float()) CHECK(std::isfinite(json.get<double>()));
  if (json.is_structured())
    for (const Json& item : json) check_finite(item);
}

bool is_io_error(auto function) {
  try {
    function();
  } catch (const Error& error) {
    return error.code() == ErrorCode::io;
  }
  return false;
}

}  // namespace

TEST_CASE("a report is one page and four pictures an image") {
  const TemporaryFolder folder;
  OneImage().write(folder / "deep/report", "a-1");
  CHECK(names_in(folder / "deep/report") == std::vector<std::string>{"images", "index.html"});
  CHECK(names_in(folder / "deep/report/images") ==
        std::vector<std::string>{"a-1-errors.png", "a-1-photo.png", "a-1-prediction.png", "a-1-truth.png"});
  const std::string page = text_of(folder / "deep/report/index.html");
  CHECK(page.starts_with("<!doctype html>"));
  CHECK(!contains(page, "{{"));
  for (const char* outside : {"http:", "https:", "<link rel=\"stylesheet", "src=\"", "@import", "url("}) {
    CAPTURE(outside);
    // The one address is the name of SVG's namespace, which nothing is fetched from.
    CHECK(occurrences(page, outside) == (std::string_view(outside) == "http:" ? 1 : 0));
  }
}

TEST_CASE("a report's pictures hold the labels, their colours, and what is wrong") {
  const TemporaryFolder folder;
  OneImage one;
  one.write(folder.path(), "a");
  const LabelMap truth = read_labels_file(folder / "images/a-truth.png");
  CHECK(truth == one.truth);
  CHECK(read_labels_file(folder / "images/a-prediction.png") == one.prediction);
  const LabelMap errors = read_labels_file(folder / "images/a-errors.png");
  for (std::size_t i = 0; i < errors.labels.size(); ++i)
    REQUIRE(int{errors.labels[i]} == (one.truth.labels[i] == 255                        ? 2
                                      : one.truth.labels[i] == one.prediction.labels[i] ? 0
                                                                                        : 1));
  CHECK(std::ranges::count(errors.labels, 2) == 24);
  CHECK(std::ranges::count(errors.labels, 1) == 9 * 3 * 2);

  const Image colours = read_image_file(folder / "images/a-truth.png");
  CHECK(Colour{colours.pixels[0], colours.pixels[1], colours.pixels[2]} == one.numbers.palette[0]);
  CHECK(Colour{colours.row(9)[0], colours.row(9)[1], colours.row(9)[2]} == Colour{232, 232, 232});  // void
}

TEST_CASE("a void label that is also a class is void in the truth and the class in the prediction") {
  const TemporaryFolder folder;
  OneImage one;
  one.truth = stripes(24, 10, 3, 0);
  one.write(folder.path(), "a", 0);
  const Image truth = read_image_file(folder / "images/a-truth.png");
  const Image prediction = read_image_file(folder / "images/a-prediction.png");
  CHECK(int{truth.pixels[0]} == 232);
  CHECK(prediction.pixels[0] == one.numbers.palette[0][0]);
  CHECK(int{read_labels_file(folder / "images/a-errors.png").labels[0]} == 2);
}

TEST_CASE("a dataset without a void label has no void pixels in a report") {
  const TemporaryFolder folder;
  OneImage one;
  one.write(folder.path(), "a", no_label);
  const LabelMap errors = read_labels_file(folder / "images/a-errors.png");
  CHECK(std::ranges::count(errors.labels, 2) == 0);
  CHECK(std::ranges::count(errors.labels, 1) == 9 * 3 * 2 + 24);
}

TEST_CASE("a report keeps JPEG and PNG files as they are and writes other photos as PNG") {
  const TemporaryFolder folder;
  OneImage one;
  const auto photo = [&](FileBytes file, const std::string& found) {
    one.photo_file = std::move(file);
    Report report(folder.path(), one.numbers.palette);
    report.add({"a", one.photo_file, one.photo, one.truth, one.prediction});
    // Not two photos after an earlier one of another format.
    CHECK(occurrences(Json(names_in(folder / "images")).dump(), "photo") == 1);
    return read_file(folder / "images/" + found, 1 << 20);
  };
  const FileBytes jpeg = bytes({0xff, 0xd8, 0xff, 0xe0, 1, 2, 3});
  CHECK(photo(jpeg, "a-photo.jpg") == jpeg);
  const FileBytes png = encode_png(one.photo);
  CHECK(photo(png, "a-photo.png") == png);
  CHECK(photo(jpeg, "a-photo.jpg") == jpeg);
  CHECK(read_image(photo(bytes("P6 1 1 255 abc"), "a-photo.png"), "photo") == one.photo);
  // A PNG that may have to be turned is written as it is seen: browsers differ.
  const FileBytes turned = png + bytes("eXIf");
  CHECK(read_image(photo(turned, "a-photo.png"), "photo") == one.photo);
  CHECK(photo(turned, "a-photo.png") != turned);
}

TEST_CASE("names that are hostile to paths get files of their own within the report") {
  const TemporaryFolder folder;
  const std::vector<std::string> names{"a/b",
                                       "a_b",
                                       "A_B",
                                       "a:b",
                                       "../x",
                                       "../../x",
                                       "..",
                                       ".",
                                       "",
                                       "/etc/passwd",
                                       "\"quoted\" 'name'",
                                       "\xc3\xa9t\xc3\xa9",
                                       "\xff\xfe",
                                       "a\nb",
                                       std::string("a\0b", 3),
                                       std::string(300, 'n'),
                                       std::string(301, 'n'),
                                       picture_stem("a/b"),
                                       "-rf",
                                       "con"};
  OneImage one;
  Report report(folder / "report", one.numbers.palette);
  for (const std::string& name : names) {
    count(one.numbers, name, one.truth, one.prediction);
    report.add({name, one.photo_file, one.photo, one.truth, one.prediction});
  }
  report.finish(one.numbers);
  CHECK(names_in(folder.path()) == std::vector<std::string>{"report"});
  CHECK(names_in(folder / "report").size() == 2);
  CHECK(names_in(folder / "report/images").size() == 4 * names.size());
  std::set<std::string> photos;
  const Json data = data_of(folder / "report");
  for (const Json& image : data["images"]) {
    std::string photo = image["pictures"]["photo"];
    CHECK(fs::exists(folder / ("report/" + photo)));
    CHECK(photo.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./") ==
          photo.npos);
    std::ranges::transform(photo, photo.begin(), [](unsigned char c) { return std::tolower(c); });
    photos.insert(photo);  // different even where capitals do not count
  }
  CHECK(photos.size() == names.size());
}

TEST_CASE("plain names stay readable in a report's files") {
  CHECK(picture_stem("2007_000032") == "2007_000032");
  CHECK(picture_stem("a.b-c") == "a.b-c");
  CHECK(picture_stem("munster/munster_000001").starts_with("munster_munster_000001-"));
  CHECK(picture_stem(".hidden").starts_with("_.hidden-"));
}

TEST_CASE("nothing in a report's names ends its scripts or its title") {
  const TemporaryFolder folder;
  const std::string name = "</script><!--<script>alert(\"1\")</script>&amp;'";
  OneImage one;
  one.numbers.model = "</title>" + name;
  one.numbers.classes[0] = name;
  one.numbers.failed = {{name, name + "{{script}}"}};
  one.write(folder.path(), name);
  const std::string page = text_of(folder / "index.html");
  CHECK(occurrences(page, "</script>") == 2);
  CHECK(occurrences(page, "<script") == 2);
  CHECK(occurrences(page, "</title>") == 1);
  CHECK(!contains(page, "<!--"));
  CHECK(!contains(page, "alert(\"1\")"));
  const Json data = data_of(folder.path());
  CHECK(data["images"][0]["name"] == name);
  CHECK(data["classes"][0]["name"] == name);
  CHECK(data["failed"][0] == Json{name, name + "{{script}}"});
}

TEST_CASE("a report carries the numbers of the evaluation") {
  const TemporaryFolder folder;
  OneImage one;
  one.write(folder.path(), "a");
  const Json data = data_of(folder.path());
  const Metrics m = one.numbers.metrics();
  CHECK(data["summary"]["mean_iou"].get<double>() == doctest::Approx(*m.mean_iou).epsilon(1e-5));
  CHECK(data["summary"]["mean_accuracy"].get<double>() == doctest::Approx(*m.mean_recall).epsilon(1e-5));
  CHECK(data["summary"]["loss"].get<double>() == doctest::Approx(*m.cross_entropy).epsilon(1e-5));
  CHECK(data["summary"]["pixels"] == 9 * 24);
  CHECK(data["notes"] == Json(notes(one.numbers)));
  CHECK(data["confusion"][0][1] == one.numbers.confusion.at(0, 1));
  CHECK(data["classes"][1]["colour"] == "#804080");
  CHECK(data["classes"][1]["precision"].get<double>() ==
        doctest::Approx(*m.classes[1].precision).epsilon(1e-5));
  CHECK(data["curves"].size() == 4);
  CHECK(!data["curves"][0].empty());
  CHECK(data["images"][0]["classes"].size() == 3);
}

TEST_CASE("a class that is nowhere is null in a report, neither 0 nor NaN") {
  const TemporaryFolder folder;
  OneImage().write(folder.path(), "a");
  const Json data = data_of(folder.path());
  for (const char* ratio : {"iou", "dice", "precision", "recall", "ap", "image_iou"}) {
    CAPTURE(ratio);
    CHECK(data["classes"][3][ratio].is_null());
    CHECK(data["classes"][0][ratio].is_number());
  }
  CHECK(data["curves"][3].empty());
  check_finite(data);
}

TEST_CASE("a report of nothing is a page without numbers") {
  const TemporaryFolder folder;
  Evaluation e = evaluation(false);
  e.seconds = std::numeric_limits<double>::quiet_NaN();
  e.classes.clear();
  e.palette.clear();
  Report(folder.path(), {}).finish(e);
  const Json data = data_of(folder.path());
  CHECK(data["summary"]["mean_iou"].is_null());
  CHECK(data["seconds"].is_null());
  CHECK(data["curves"].empty());
  CHECK(data["classes"][2]["name"] == "class 2");
  CHECK(data["images"].empty());
}

TEST_CASE("an image without all its pictures is listed without") {
  const TemporaryFolder folder;
  OneImage one;
  one.write(folder.path(), "a");
  count(one.numbers, "b", one.truth, one.prediction);  // of an earlier run
  Report(folder.path(), {}).finish(one.numbers);
  CHECK(data_of(folder.path())["images"][0].contains("pictures"));
  CHECK(!data_of(folder.path())["images"][1].contains("pictures"));
  fs::remove(folder / "images/a-truth.png");
  Report(folder.path(), {}).finish(one.numbers);
  CHECK(!data_of(folder.path())["images"][0].contains("pictures"));
}

TEST_CASE("a thinned curve keeps its ends and its corner") {
  std::vector<CurvePoint> curve;
  for (int i = 0; i <= 500; ++i) curve.push_back({1 - i / 1001.0, 1, i / 500.0});
  for (int i = 1; i <= 500; ++i) curve.push_back({0.5 - i / 1001.0, 1 - i / 500.0, 1});
  const std::vector<CurvePoint> thin = thin_out(curve, 201);
  CHECK(thin.size() == 201);
  CHECK(thin.front().threshold == curve.front().threshold);
  CHECK(thin.back().threshold == curve.back().threshold);
  double nearest = 1;
  for (const CurvePoint& p : thin) nearest = std::min(nearest, 2 - p.precision - p.recall);
  CHECK(nearest < 0.011);
  for (std::size_t i = 1; i < thin.size(); ++i) REQUIRE(thin[i].threshold < thin[i - 1].threshold);
  CHECK(thin_out(curve, 2000).size() == curve.size());
  CHECK(thin_out({}, 200).empty());
  CHECK(thin_out(std::vector<CurvePoint>(300), 200).size() <= 200);
}

TEST_CASE("a report refuses maps of different sizes, with both") {
  const TemporaryFolder folder;
  OneImage one;
  one.prediction = stripes(24, 11, 3, 0);
  Report report(folder.path(), one.numbers.palette);
  CHECK(contains(sentence([&] {
                   report.add({"street", one.photo_file, one.photo, one.truth, one.prediction});
                 }),
                 "street: the truth is 24x10, the prediction 24x11"));
  CHECK(names_in(folder / "images").empty());
}

TEST_CASE(
    "a report that cannot be written is an error that names the folder, and leaves nothing half-written") {
  const TemporaryFolder folder;
  OneImage one;
  write_file(folder / "file", bytes("x"));
  CHECK(is_io_error([&] { Report(folder / "file", {}); }));
  CHECK(contains(sentence([&] { Report(folder / "file/deeper", {}); }), "file/deeper: cannot make"));

  Report report(folder / "report", one.numbers.palette);
  fs::create_directory(folder / "report/index.html");
  CHECK(is_io_error([&] { report.finish(one.numbers); }));
  CHECK(names_in(folder / "report") == std::vector<std::string>{"images", "index.html"});

  fs::create_directory(folder / "report/images/a-prediction.png");
  CHECK(is_io_error([&] { report.add({"a", one.photo_file, one.photo, one.truth, one.prediction}); }));
  for (const std::string& name : names_in(folder / "report/images")) CHECK(!contains(name, ".tmp"));
  CHECK(!fs::exists(folder / "report/images/a-errors.png"));

  fs::remove_all(folder / "report");
  CHECK(is_io_error([&] { report.add({"a", one.photo_file, one.photo, one.truth, one.prediction}); }));
}

// Asked for by tests/python/report_browser.py, which looks at it in a browser: 130 images, of which 12 have
// pictures.
TEST_CASE("a sample report for the browser" * doctest::skip()) {
  const char* folder = std::getenv("ATROUS_REPORT_SAMPLE");
  REQUIRE(folder != nullptr);
  Evaluation e = evaluation(true);
  e.failed = {{"<img src=x onerror=alert(1)>", "broken.jpg: truncated: 7 bytes, </script> or not"}};
  Report report(folder, e.palette);
  for (int i = 0; i < 130; ++i) {
    const std::string name =
        i == 3 ? "<b>\"odd\" &amp; 'name'</b>" : (i % 2 ? "street_" : "park_") + std::to_string(i);
    const Image photo = noise(48, 32, 3);
    const LabelMap truth = with_void_row(stripes(48, 32, 3, 0)), prediction = stripes(48, 32, 3, i % 16);
    count(e, name, truth, prediction);
    if (i % 16 == 8 || i == 3) report.add({name, encode_png(photo), photo, truth, prediction});
  }
  report.finish(e);
}

}  // namespace atrous::report_test
