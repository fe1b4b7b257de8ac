// atrous inspect --explain and --graph, atrous profile --arena. What they say of layers is tested in
// tests/runtime/explain, the figures that pages show by tests/python/pages.py.
#include "tests/support/cli_testing.h"

namespace atrous::explain_test {

using namespace atrous::cli_testing;

TEST_CASE_FIXTURE(Bench,
                  "inspect explains all layers, those under a name, and one in words with its header") {
  const std::string all = succeed({"inspect", checkpoint, "--explain"});
  CHECK(mentions(all, "backbone.conv1 "));
  CHECK(mentions(all, "\nclassifier.4 "));
  CHECK(mentions(all, " layers, of which "));
  const std::string some = succeed({"inspect", checkpoint, "--explain", "classifier.0.convs"});
  CHECK(!mentions(some, "backbone."));
  CHECK(mentions(some, "classifier.0.convs.3.0 "));
  // Of ASPP four convolutions, the mean and its convolution, the projection; and what a pass took out of
  // that.
  const std::string aspp = succeed({"inspect", checkpoint, "--explain", "classifier.0"});
  CHECK(mentions(aspp, "\n21 layers, of which 8 run; "));
  CHECK(mentions(aspp, " in classifier.0.project.0.pixel\n"));
  const std::string one = succeed({"inspect", checkpoint, "--explain", "classifier.0.convs.3.0"});
  CHECK(mentions(one, "dilation 36"));
  CHECK(mentions(one, "together with  classifier.0.convs.3.1, classifier.0.convs.3.1.relu\n"));
  CHECK(mentions(one, "\nlayers/ops/conv2d.h\nConv2d: the convolution"));
}

TEST_CASE_FIXTURE(Bench, "inspect --explain --json says the same of each layer as the table") {
  const auto explain = [&](const Arguments& layer) {
    return Json::parse(
        succeed(Arguments{"inspect", checkpoint, "--size", "65x33", "--json", "--explain"} + layer));
  };
  const Json all = explain({});
  CHECK(all["file"] == checkpoint);
  CHECK(all["architecture"] == "deeplabv3_resnet(1,1,1,1)");
  CHECK(all["input"].dump() == R"({"width":65,"height":33})");
  const std::string table = succeed({"inspect", checkpoint, "--size", "65x33", "--explain"});
  CHECK(mentions(table, str_cat('\n', all["layers"].size(), " layers, of which ")));
  for (const Json& layer : all["layers"]) CHECK(mentions(table, layer["layer"].get<std::string>()));
  const Json& first = all["layers"][0];
  CHECK(first["layer"] == "backbone.conv1");
  CHECK(first["kind"] == "conv2d");
  CHECK(first["parameters"] == "7x7 kernel, 3 -> 8 channels, stride 2, padding 3, no bias");
  CHECK(first["reads"].empty());
  CHECK(first["output"].dump() == "[1,17,33,8]");
  CHECK(first["macs"] == 17 * 33 * 8 * 7 * 7 * 3);
  // Value 0 sees the pixels from -3 to 3, value 1 those two further on.
  CHECK(first["sees"]["width"].dump() == R"({"jump":2.0,"pixels":7.0,"centre":0.5})");
  CHECK(first["runs_in"] == "backbone.conv1");
  const Json& relu = all["layers"][2];
  CHECK(relu["reads"].dump() == R"(["backbone.bn1"])");
  CHECK(relu["taps_inside"].is_null());
  CHECK(relu["runs_in"] == "backbone.conv1");

  const Json some = explain({"classifier.0.convs"});
  for (const Json& layer : some["layers"])
    CHECK(layer["layer"].get<std::string>().starts_with("classifier.0.convs."));
  CHECK(some["layers"][0].contains("text") == false);
  const Json one = explain({"classifier.0.convs.4.0"});
  REQUIRE(one["layers"].size() == 1);
  CHECK(one["layers"][0]["sees"]["height"]["pixels"].is_null());
  CHECK(one["layers"][0]["text"].get<std::string>().starts_with("layers/ops/adaptive_avg_pool2d.h\n"));
  refuse(1, {"inspect", checkpoint, "--json", "--explain", "clasifier.4"}, {"(did you mean classifier.4?)"});
}

TEST_CASE_FIXTURE(Bench, "a layer that is none is an error with a suggestion") {
  const auto none = run_atrous({"inspect", checkpoint, "--explain", "clasifier.4"});
  CHECK(none.exit_code == 1);
  CHECK(mentions(none.errors, "has no layer clasifier.4 (did you mean classifier.4?)"));
}

TEST_CASE_FIXTURE(Bench, "inspect writes the graph for Graphviz, and nothing under another ending") {
  const std::string file = folder / "network.dot";
  succeed({"inspect", checkpoint, "--graph", file});
  const auto bytes = read_file(file, 1 << 20);
  const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  CHECK(text.starts_with("digraph network {"));
  CHECK(mentions(text, "classifier.4\nconv2d, "));
  const auto other = run_atrous({"inspect", checkpoint, "--graph", folder / "network.png"});
  CHECK(other.exit_code == 2);
  CHECK(mentions(other.errors, "expected a name that ends in .dot or .svg"));
}

TEST_CASE_FIXTURE(Bench, "profile draws the arena") {
  const std::string file = folder / "arena.svg";
  succeed({"profile", checkpoint, "--size", "65x65", "--runs", "1", "--warmup", "0", "--arena", file});
  const auto bytes = read_file(file, 1 << 20);
  const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  CHECK(text.starts_with("<svg "));
  CHECK(mentions(text, "Before: every map in memory of its own"));
}

}  // namespace atrous::explain_test
