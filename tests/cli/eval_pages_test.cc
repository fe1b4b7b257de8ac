// atrous eval --dataset coco --report: pages of instances, of a model and of a file of results.
#include <algorithm>
#include <filesystem>

#include "tests/support/instance_bench.h"

namespace atrous::eval_pages_test {

using namespace atrous::cli_testing;

namespace {

// What the page of a report carries.
Json page_data(const std::string& folder) {
  const std::string page = read_text(folder + "/index.html"), opening = "id=\"evaluation\">";
  const std::size_t begin = page.find(opening) + opening.size();
  return Json::parse(page.substr(begin, page.find("</script>", begin) - begin));
}

struct Pages : InstanceBench {
  const std::string report = folder / "made/report";
  std::size_t pictures() const { return names_in(report + "/images").size(); }

  // Results that are right in every image but the one of this id.
  void write_results(std::int64_t wrong = 0) const {
    Json all = Json::array(), set = Json::parse(read_text(truth));
    for (const Json& image : set["images"])
      all.push_back({{"image_id", image["id"]},
                     {"category_id", 1},
                     {"score", 0.75},
                     {"bbox", {image["id"] == wrong ? 40 : 5, 5, 10, 30}}});
    write_text(results, all.dump());
    Json annotations = all;
    for (std::size_t i = 0; i < annotations.size(); ++i) {
      annotations[i].update({{"id", i + 1}, {"area", 300}, {"iscrowd", 0}});
      annotations[i]["bbox"][0] = 5;
    }
    set["annotations"] = annotations;
    write_text(truth, set.dump());
  }
};

}  // namespace

TEST_CASE_FIXTURE(Pages, "a model's report has the figures of its JSON and pictures of its images") {
  write_truth(truths_of_results());
  const Json all = json({"--report", report});
  const Json data = page_data(report);
  CHECK(data["model"] == "net.safetensors");
  CHECK(data["architecture"] == "maskrcnn_resnet(1,1,1,1)_fpn");
  CHECK(data["dataset"] == truth);
  CHECK(data["notes"] == all["notes"]);
  CHECK(data["counts"]["detections"] == all["detections"]);
  for (const auto& [of_page, of_json] : {std::pair{"boxes", "bbox"}, {"masks", "segm"}})
    for (const auto& item : all[of_json]["summary"].items()) {
      const Json& found = data["summary"][of_page][item.key()];
      if (item.value() == -1.0)
        CHECK_MESSAGE(found.is_null(), item.key());
      else
        CHECK_MESSAGE(found.get<double>() == doctest::Approx(item.value().get<double>()).epsilon(1e-5),
                      item.key());
    }
  CHECK(data["images"].size() == 3);
  CHECK(data["images"][0]["name"] == "a.png");  // by id
  CHECK(pictures() == 12);
  const std::string photo = data["images"][0]["pictures"]["photo"];
  CHECK(read_text(report + '/' + photo) == read_text(folder / "val2017/a.png"));
  const Image found =
      read_image_file(report + '/' + data["images"][0]["pictures"]["found"].get<std::string>());
  CHECK(found.width == 64);
  CHECK(found.height == 48);
}

TEST_CASE("a report of boxes alone has no masks") {
  const InstanceBench bench(small_state("fasterrcnn_resnet(1,1,1,1)_fpn"));
  succeed(bench.eval({"-q", "--report", bench.folder / "report"}));
  CHECK(page_data(bench.folder / "report")["summary"]["masks"].is_null());
}

TEST_CASE_FIXTURE(Pages, "an image that failed is on the page with its sentence") {
  write_text(folder / "val2017/b.png", "no picture");
  CHECK(run_atrous(eval({"-q", "--report", report})).exit_code == 0);
  const Json data = page_data(report);
  CHECK(data["images"].size() == 2);
  CHECK(data["failed"][0][0] == "b.png");
  CHECK(mentions(data["failed"][0][1].get<std::string>(), "b.png"));
}

TEST_CASE_FIXTURE(Pages, "a file of results has the same page, the worst image first among its pictures") {
  write_results(12);
  succeed(measure_results({"-q", "--report", report}));
  const Json data = page_data(report);
  CHECK(data["model"] == results);
  CHECK(data["seconds"].is_null());
  CHECK(data["summary"]["masks"].is_null());
  CHECK(data["notes"].empty());
  CHECK(data["images"][1]["f1"] == 0.0);
  CHECK(data["images"][0]["f1"] == 1.0);
  CHECK(pictures() == 12);
  // The missed truth's and the wrong box's colours, where neither has its caption.
  const Image errors =
      read_image_file(report + '/' + data["images"][1]["pictures"]["errors"].get<std::string>());
  const auto at = [&](int x, int y) { return std::vector(errors.row(y) + 3 * x, errors.row(y) + 3 * x + 3); };
  CHECK(at(5, 35) == std::vector<std::uint8_t>{255, 190, 30});
  CHECK(at(40, 35) == std::vector<std::uint8_t>{204, 51, 17});
}

TEST_CASE_FIXTURE(Pages, "of many images the worst fifty have pictures") {
  write_many();
  write_file(folder / "val2017/many1.png", encode_png(photo(64, 48, 1)));
  write_results(60);
  succeed(measure_results({"-q", "--report", report}));
  CHECK(pictures() == 200);
  const Json images = page_data(report)["images"];
  CHECK(images.size() == 60);
  CHECK(images[59].contains("pictures"));
  CHECK(!images[58].contains("pictures"));
}

TEST_CASE_FIXTURE(Pages, "photos of a report are where --images says, or none") {
  write_results();
  std::filesystem::rename(folder / "val2017", folder / "elsewhere");
  succeed(measure_results({"-q", "--report", report}));
  const Json data = page_data(report);
  CHECK(pictures() == 0);
  CHECK(!data["images"][0].contains("pictures"));
  CHECK(mentions(data["notes"][0].get<std::string>(), "no pictures: "));
  CHECK(mentions(data["notes"][0].get<std::string>(), "3 of 3 photos are missing"));

  succeed(measure_results({"-q", "--report", report, "--images", folder / "elsewhere"}));
  CHECK(pictures() == 12);
  std::filesystem::remove(folder / "elsewhere/c.png");
  refuse(1, measure_results({"-q", "--report", report, "--images", folder / "elsewhere"}),
         {"c.png: no such photo; 1 of 3 photos are missing"});
  refuse(2, measure_results({"--images", folder / "elsewhere"}), {"--images", "not for --predictions"});
}

TEST_CASE_FIXTURE(Pages, "file names that lead elsewhere are followed by no report") {
  write_results();
  Json set = Json::parse(read_text(truth));
  set["images"][0]["file_name"] = "../../secret.png";
  write_text(truth, set.dump());
  refuse(1, measure_results({"-q", "--report", report, "--images", folder / "val2017"}),
         {"has a file name that leads elsewhere"});
  succeed(measure_results({"-q", "--report", report}));
  CHECK(pictures() == 0);
  CHECK(mentions(page_data(report)["notes"][0].get<std::string>(), "leads elsewhere"));
}

TEST_CASE_FIXTURE(Pages,
                  "a photo that cannot be shown is named, its image listed without, or ends a strict run") {
  write_results();
  write_text(folder / "val2017/b.png", "no picture");
  write_file(folder / "val2017/c.png", encode_png(photo(70, 50)));
  const ProcessResult r = run_atrous(measure_results({"-q", "--report", report}));
  CHECK(r.exit_code == 0);
  CHECK(mentions(r.errors, "b.png: "));
  CHECK(mentions(r.errors, "c.png: expected 50x70 pixels, as the annotations have it, found 70x50\n"));
  CHECK(std::ranges::count(r.errors, '\n') == 2);
  const Json images = page_data(report)["images"];
  CHECK(images[0].contains("pictures"));
  CHECK(!images[1].contains("pictures"));
  refuse(1, measure_results({"-q", "--report", report, "--strict"}), {".png: "});
}

TEST_CASE_FIXTURE(Pages, "a report that cannot be made is known before the run") {
  write_text(folder / "file", "x");
  for (const Arguments& arguments :
       {eval({"--report", folder / "file/report"}), measure_results({"--report", folder / "file/report"})})
    refuse(1, arguments, {"file/report: cannot make the report's folder"});
}

}  // namespace atrous::eval_pages_test
