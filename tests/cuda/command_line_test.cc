// The program on a device: the simulated one (tests/cuda/simulation/), as a module that the program loads.
#include "runtime/image/image_read.h"
#include "tests/support/cli_testing.h"

namespace atrous::command_line_test {

using namespace atrous::cli_testing;

namespace {

const std::string street = ATROUS_SOURCE_DIR "/tests/street/street.png";
const ProcessOptions simulated{.environment = {{"LD_LIBRARY_PATH", ATROUS_SIMULATED_CUDA}}};

}  // namespace

TEST_CASE("the program lists and uses the device") {
  const std::string said = succeed({"devices"}, simulated);
  for (const char* part :
       {"cuda:0", "Simulated device", "compute capability 9.0", "CUDA driver", "cuDNN", "cuBLASLt"})
    CHECK(mentions(said, part));
  refuse(1, {"segment", street, "--device", "cuda:3", "--resize", "32"}, {"cuda:3", "there is 1 device"},
         simulated);
}

TEST_CASE("segment writes the same labels from the device as from the processor") {
  TemporaryFolder folder;
  const auto labels = [&](const Arguments& how, const ProcessOptions& options) {
    const Json report = Json::parse(succeed(
        Arguments{"segment", street, "-o", folder / "r", "--resize", "48", "--labels", "--json", "-"} + how,
        options));
    CHECK(report[0]["device"] ==
          (how.empty() ? str_cat("cpu ", name_of(supported_isas().front())) : "Simulated device"));
    return read_image_file(folder / "r/street.labels.png").pixels;
  };
  const auto expected = labels({}, {});
  for (const Arguments& precision : {Arguments{}, Arguments{"--tf32"}, Arguments{"--fp16"}}) {
    const auto found = labels(Arguments{"--device", "cuda"} + precision, simulated);
    REQUIRE(found.size() == expected.size());
    std::size_t different = 0;
    for (std::size_t i = 0; i < found.size(); ++i) different += found[i] != expected[i];
    CHECK(different * 100 <= found.size());
  }
}

TEST_CASE(
    "a folder on the device: results in the order of the pictures, broken ones named, each picture's own") {
  TemporaryFolder folder;
  for (int i = 0; i < 7; ++i)
    write_file(folder / str_cat("in", i, ".png"),
               encode_png(photo(30 + 5 * i, 40, static_cast<unsigned>(i + 1))));
  write_file(folder / "in3b.png", std::as_bytes(std::span(std::string_view("no picture"))));
  const auto results = [&](const Arguments& how, const ProcessOptions& options) {
    const ProcessResult r = run_atrous(Arguments{"segment", folder.path(), "-o", folder / "out", "--resize",
                                                 "32", "--skip-broken", "--json", folder / "all.json"} +
                                           how,
                                       options);
    CHECK(r.exit_code == 0);
    CHECK(mentions(r.errors, "in3b.png"));
    CHECK(mentions(r.errors, "1 of 8 pictures failed"));
    return Json::parse(read_text(folder / "all.json"));
  };
  const Json here = results({}, {}), there = results({"--device", "cuda"}, simulated);
  REQUIRE(here.size() == 7);
  REQUIRE(there.size() == 7);
  for (std::size_t i = 0; i < 7; ++i) {
    CHECK(there[i]["file"] == here[i]["file"]);
    CHECK(there[i]["classes"].size() == here[i]["classes"].size());
    CHECK(std::abs(there[i]["classes"][0]["share"].get<double>() -
                   here[i]["classes"][0]["share"].get<double>()) < 0.01);
  }
}

TEST_CASE("verify compares the device with the processor, layer by layer") {
  CHECK(mentions(succeed({"verify", "default", "--device", "cuda", "--size", "33x25"}, simulated), "holds"));
  CHECK(mentions(
      succeed({"verify", "default", "--device", "cuda", "--fp16", "--size", "33x25", "--tolerance", "0.02"},
              simulated),
      "Simulated device, fp16"));
  const ProcessResult strict = run_atrous(
      {"verify", "default", "--device", "cuda", "--fp16", "--size", "33x25", "--tolerance", "1e-6"},
      simulated);
  CHECK(strict.exit_code == 1);
  CHECK(mentions(strict.output, "the first layer that diverges is "));
}

TEST_CASE("bench reports every batch and precision of the device, profile every layer's implementation") {
  const Arguments small{"--size", "16x16", "--runs", "1", "--warmup", "1", "-o", "json", "--device", "cuda"};
  const Json rows =
      Json::parse(succeed(Arguments{"bench", "lraspp_mobilenet_v3_large", "--fp16"} + small, simulated));
  REQUIRE(rows.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(rows[i]["batch"] == (std::vector{1, 8, 32})[i]);
    CHECK(rows[i]["precision"] == "fp16");
    CHECK(rows[i]["device"] == "Simulated device");
    CHECK(rows[i]["network_alone_ms"].get<double>() >= 0);
    CHECK(rows[i]["images_per_second"].get<double>() > 0);
  }
  const Json one = Json::parse(
      succeed(Arguments{"bench", "lraspp_mobilenet_v3_large", "--batch", "2"} + small, simulated));
  CHECK(one["batch"] == 2);
  const Json layers =
      Json::parse(succeed(Arguments{"profile", "lraspp_mobilenet_v3_large"} + small, simulated));
  std::vector<std::string> ways;
  for (const Json& row : layers) ways.push_back(row["implementation"]);
  for (const char* way : {"cublaslt", "cudnn", "cuda"}) CHECK(std::ranges::find(ways, way) != ways.end());
}

TEST_CASE("instances are found on the device, verified layer by layer, timed and profiled") {
  TemporaryFolder folder;
  const std::string model = folder / "masks.safetensors";
  write_safetensors(model, seeded_state("maskrcnn_resnet(1,1,1,1)_fpn_v2", {.classes = 4, .width = 4}), {});
  const Arguments sides{"--arch", "min_size=32,max_size=48"};
  const auto found = [&](const Arguments& how, const ProcessOptions& options) {
    succeed(Arguments{"segment", street, "-m", model, "--score", "0", "--max-instances", "8", "-o",
                      folder / "out", "--instances", folder / "masks", "--json", folder / "found.json"} +
                sides + how,
            options);
    return Json::parse(read_text(folder / "found.json"));
  };
  const Json here = found({}, {}), there = found({"--device", "cuda"}, simulated);
  REQUIRE(here.size() == 8);
  REQUIRE(there.size() == 8);
  for (std::size_t i = 0; i < 8; ++i) {
    CHECK(there[i]["category_id"] == here[i]["category_id"]);
    CHECK(std::abs(there[i]["score"].get<double>() - here[i]["score"].get<double>()) < 1e-3);
    for (std::size_t side = 0; side < 4; ++side)
      CHECK(std::abs(there[i]["bbox"][side].get<double>() - here[i]["bbox"][side].get<double>()) < 0.5);
  }
  CHECK(found({"--device", "cuda", "--fp16"}, simulated).size() == 8);
  const std::string verified =
      succeed(Arguments{"verify", model, "--device", "cuda", "--size", "48x32", "--all"} + sides, simulated);
  for (const char* part : {"roi_heads.box_roi_pool", "roi_heads.mask_roi_pool", "holds"})
    CHECK(mentions(verified, part));
  CHECK(mentions(succeed(Arguments{"verify", model, "--device", "cuda", "--fp16", "--tolerance", "0.02",
                                   "--size", "48x32"} +
                             sides,
                         simulated),
                 "holds"));
  const Json one =
      Json::parse(succeed(Arguments{"bench", model, "--device", "cuda", "--size", "48x32", "--runs", "1",
                                    "--warmup", "0", "--batch", "1", "-o", "json"} +
                              sides,
                          simulated));
  CHECK(one["device"] == "Simulated device");
  CHECK(one["median_ms"].get<double>() > 0);
}

TEST_CASE("what a search finds is kept in the cache, whose folder is made") {
  TemporaryFolder folder;
  ProcessOptions options = simulated;
  options.environment.emplace_back("ATROUS_CACHE", folder / "new/cache");
  const Arguments search{"segment", street, "-o",       folder / "out", "--resize",
                         "24",      "-q",   "--device", "cuda",         "--search"};
  succeed(search, options);
  const std::string kept = read_text(folder / "new/cache/cuda-plans.txt");
  CHECK(mentions(kept, "Simulated device, cuDNN"));
  CHECK(mentions(kept, "cuBLASLt"));
  succeed(search, options);
  CHECK(read_text(folder / "new/cache/cuda-plans.txt") == kept);
}

}  // namespace atrous::command_line_test
