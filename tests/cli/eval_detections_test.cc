// atrous eval --dataset coco: detections in a file, measured without any network.
#include <filesystem>

#include "tests/support/cli_testing.h"

namespace atrous::eval_detections_test {

using namespace atrous::cli_testing;

namespace {

// One truth of 4x4 pixels, one detection that is right and, below, one that is wrong: AP 1.
struct Detections {
  const testing::TemporaryFolder folder;
  const std::string truth = folder / "truth.json", results = folder / "results.json";
  Detections() {
    write_text(
        truth,
        R"({"images":[{"id":7,"width":10,"height":8}],"categories":[{"id":3,"name":"cat"},{"id":4,"name":"dog"}],)"
        R"("annotations":[{"id":5,"image_id":7,"category_id":3,"area":16,"iscrowd":0,"bbox":[0,0,4,4],)"
        R"("segmentation":[[0,0,0,4,4,4,4,0]]}]})");
    write_text(results, R"([{"image_id":7,"category_id":3,"score":0.9,"bbox":[0,0,4,4]},)"
                        R"({"image_id":7,"category_id":3,"score":0.1,"bbox":[5,5,2,2]}])");
  }
  Arguments eval(const Arguments& more = {}) const {
    return Arguments{"eval", "--predictions", results, "--dataset", "coco", truth} + more;
  }
};

}  // namespace

TEST_CASE_FIXTURE(Detections, "eval measures a file of detections by COCO's protocol") {
  const std::string table = succeed(eval());
  for (const char* line : {"average precision  0.50:0.95", "average recall", "cat ", "dog ", "-1: no truths",
                           "1 images, 1 truths and 0 crowds, 2 detections"})
    CHECK_MESSAGE(mentions(table, line), line);
  CHECK(!mentions(table, "mask"));
}

TEST_CASE_FIXTURE(Detections, "eval's JSON of detections has every figure") {
  const Json all = Json::parse(succeed(eval({"--json", "-"})));
  const Json& summary = all["bbox"]["summary"];
  CHECK(summary.size() == 12);
  for (const char* key : {"ap", "ap50", "ap75", "ap_small", "ar1", "ar10", "ar100", "ar_small"})
    CHECK_MESSAGE(summary[key].get<double>() == doctest::Approx(1).epsilon(1e-12), key);
  for (const char* key : {"ap_medium", "ap_large", "ar_medium", "ar_large"})
    CHECK_MESSAGE(summary[key] == -1.0, key);
  CHECK(all["segm"].is_null());
  CHECK(all["bbox"]["categories"][0]["name"] == "cat");
  CHECK(all["bbox"]["categories"][1]["ap"] == -1.0);
  CHECK(all["detections"] == 2);
}

TEST_CASE_FIXTURE(Detections,
                  "masks are measured where results have them, and a row per category goes to CSV") {
  write_text(results, R"([{"image_id":7,"category_id":3,"score":0.9,)"
                      R"("segmentation":{"size":[8,10],"counts":[0,4,4,4,4,4,4,4,52]}}])");
  const Json all = Json::parse(succeed(eval({"--json", "-"})));
  CHECK(all["segm"]["summary"]["ap"].get<double>() == doctest::Approx(1).epsilon(1e-12));
  CHECK(mentions(succeed(eval()), "mask"));
  const std::string csv = succeed(eval({"--csv", "-"}));
  CHECK(csv.starts_with("geometry,id,name,truths,detections,ap,ap50,ap75,ar100\nbbox,3,cat,1,1,"));
  CHECK(mentions(csv, "segm,4,dog,0,0,-1,-1,-1,-1\n"));
}

TEST_CASE_FIXTURE(Detections, "COCO's folder stands for the annotations of its set") {
  std::filesystem::create_directory(folder / "annotations");
  std::filesystem::copy_file(truth, folder / "annotations/instances_val2017.json");
  const Arguments of_folder{"eval", "--predictions", results, "--dataset", "coco", folder.path()};
  CHECK(mentions(succeed(of_folder), "1 truths"));
  refuse(1, of_folder + Arguments{"--set", "train"}, {"instances_train2017.json: there is no such file"});
}

TEST_CASE_FIXTURE(Detections, "options for label maps are refused with detections") {
  refuse(2, {"eval", "--dataset", "coco", truth}, {"--predictions results.json"});
  refuse(2, eval({"--ignore", "255"}), {"--ignore: is for label maps"});
  refuse(2, eval({"--images-csv", "-"}), {"--images-csv: is for label maps"});
  refuse(2, eval({"extra"}), {"--dataset coco takes one file or folder"});
  write_text(results, "[1");
  refuse(1, eval(), {"results.json: not JSON"});
}

}  // namespace atrous::eval_detections_test
