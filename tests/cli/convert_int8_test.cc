// atrous convert --int8: networks in 8 bits, and what inspect, verify and segment make of them.
#include "tests/support/cli_testing.h"
#include "tests/support/instance_bench.h"
#include "weights_tools/checkpoint.h"

namespace atrous::convert_int8_test {

using namespace atrous::cli_testing;

namespace {

struct Int8Bench : Bench {
  const std::string photos = folder / "photos", out = folder / "out.safetensors";

  Int8Bench() {
    std::filesystem::create_directory(photos);
    for (unsigned i = 0; i < 3; ++i) write_photo(str_cat("photos/", i, ".png"), photo(48, 32, i + 1));
  }
  Arguments convert(const Arguments& more = {}) const {
    return Arguments{"convert", checkpoint, out, "--no-resize", "--int8", "--calibrate", photos} + more;
  }
};

}  // namespace

TEST_CASE_FIXTURE(Int8Bench, "convert --int8 writes a file of 8-bit weights that every verb takes") {
  const std::string said = succeed(convert({"--max-loss", "100"}));
  CHECK(mentions(said, "5 classes"));
  CHECK(mentions(said, "; photos: 3; "));
  CHECK(mentions(said, "of the labels of 3 as in fp32"));
  CHECK(mentions(said, "warning: photos are few: 3"));

  const Checkpoint written = load_checkpoint(out);
  const StateDict before = tiny_state("deeplabv3");
  REQUIRE(written.metadata);
  CHECK(written.metadata->activations.size() > 10);
  REQUIRE(written.metadata->self_test);
  std::size_t quantised = 0, filters = 0;
  for (const auto& [key, tensor] : before.entries()) {
    const StateTensor* now = written.state.find(key);
    REQUIRE(now);
    CHECK(now->shape == tensor.shape);
    filters += tensor.shape.size() == 4;
    if (now->dtype != DType::i8) continue;
    ++quantised;
    CHECK(written.state.find(key + ".scale")->shape == std::vector{tensor.shape[0]});
    CHECK(written.state.find(key + ".correction")->dtype == DType::f32);
  }
  CHECK(quantised > 10);
  CHECK(written.state.find("backbone.conv1.weight")->dtype == DType::f32);
  CHECK(written.state.find("classifier.4.weight")->dtype == DType::f32);

  const std::string inspected = succeed({"inspect", out});
  CHECK(mentions(inspected, str_cat("to 8 bits, ", quantised, " of ", filters, " convolutions")));
  const Json json = Json::parse(succeed({"inspect", out, "--json"}));
  CHECK(json["quantised"]["layers"] == quantised);
  CHECK(json["parameters"] == Json::parse(succeed({"inspect", checkpoint, "--json"}))["parameters"]);
  succeed({"verify", out});
  succeed({"segment", dog, "-m", out, "-o", folder / "int8", "-q"});
  // Once more, as any other model file.
  succeed({"convert", out, folder / "again.safetensors"});
  CHECK(read_text(folder / "again.safetensors").size() > 1000);
  refuse(1, {"convert", out, folder / "twice.safetensors", "--int8", "--calibrate", photos},
         {"--int8", "is quantised already"});
  refuse(1, {"convert", out, folder / "half.safetensors", "--half"}, {out, "--half would round its scales"});
  // The self-test is of 8 bits.
  refuse(1, {"verify", out, "--precision", "fp32"}, {"is of the network in int8"});
  succeed({"verify", out, "--precision", "fp32", "--device", "reference"});
}

TEST_CASE_FIXTURE(Int8Bench, "converting to 8 bits twice gives the same bytes") {
  succeed(convert());
  const std::string first = read_text(out);
  succeed(convert());
  CHECK(read_text(out) == first);
}

TEST_CASE_FIXTURE(Int8Bench, "the report says ranges, errors and types") {
  succeed(convert({"--max-loss", "100", "--report", folder / "report.json"}));
  const Json r = Json::parse(read_text(folder / "report.json"));
  CHECK(r["photos"] == 3);
  CHECK(r["compared"] == 3);
  std::size_t int8 = 0;
  for (const Json& layer : r["layers"]) {
    const bool quantised = layer["dtype"] == "int8";
    int8 += quantised;
    CHECK(layer["because"].is_null() == quantised);
    CHECK((layer["weight_error"] > 0) == quantised);
    if (layer["name"] == "backbone.layer1.0.conv2") CHECK(layer["reads"] == "int8");
    if (layer["name"] == "backbone.conv1") CHECK(layer["reads"] == "fp32");
  }
  CHECK(r["quantised"] == int8);
  const auto metadata = load_checkpoint(out).metadata;
  CHECK(r["maps"].size() == metadata->activations.size());
  for (const Json& map : r["maps"]) {
    const ValueRange range = metadata->activations.at(map["name"]);
    CHECK(map["range"][0].get<float>() == range.lowest);
    CHECK(map["range"][1].get<float>() == range.highest);
    CHECK(map["errors"].size() == 5);
    for (const Json& error : map["errors"])
      CHECK(map["errors"][map["estimator"].get<std::string>()] <= error);
  }
  CHECK(r["agreement"].size() == 5);
}

TEST_CASE_FIXTURE(Int8Bench, "a budget keeps layers in fp32, and the report says what each cost") {
  succeed(convert({"--max-loss", "0", "--report", folder / "report.json"}));
  const Json r = Json::parse(read_text(folder / "report.json"));
  CHECK(r["labels_changed"] == 0);
  for (const Json& layer : r["layers"])
    if (layer["because"].is_null() || layer["because"] == "costs too much") CHECK(layer["sensitivity"] >= 0);
}

TEST_CASE_FIXTURE(Int8Bench, "--int8 and what goes with it are refused in a sentence") {
  const Arguments plain{"convert", checkpoint, out};
  refuse(2, plain + Arguments{"--int8"}, {"--int8", "--calibrate"});
  refuse(2, plain + Arguments{"--calibrate", photos}, {"--calibrate: is for --int8"});
  refuse(2, plain + Arguments{"--report", "-"}, {"--report: is for --int8"});
  refuse(2, convert({"--half"}), {"--int8", "--half"});
  refuse(2, convert({"--max-loss", "101"}), {"--max-loss"});
  refuse(1, plain + Arguments{"--int8", "--calibrate", folder / "none.png"}, {"none.png"});
  std::filesystem::create_directory(folder / "empty");
  refuse(2, plain + Arguments{"--int8", "--calibrate", folder / "empty"}, {"no pictures"});
  refuse(1, convert({"--report", folder / "no" + "/report.json"}), {"report.json", "there is no folder"});
  refuse(1, {"convert", checkpoint, folder / "no" + "/out.safetensors", "--int8", "--calibrate", photos},
         {"out.safetensors", "there is no folder"});
  CHECK_FALSE(std::filesystem::exists(out));
}

TEST_CASE_FIXTURE(Int8Bench, "networks of instances are not quantised") {
  write_safetensors(folder / "two.safetensors", small_state(), {});
  refuse(1, {"convert", folder / "two.safetensors", out, "--int8", "--calibrate", photos},
         {"--int8: networks of instances are not quantised yet"});
}

}  // namespace atrous::convert_int8_test
