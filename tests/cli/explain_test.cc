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
