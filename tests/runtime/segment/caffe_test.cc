// The networks that were first published for Caffe: from a .caffemodel that protobuf's own library wrote
// (tests/python/make_caffemodel.py) the same logits as from the PyTorch port's checkpoint with the same
// weights.
#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>

#include "layers/ops/resize.h"
#include "runtime/engine/session.h"
#include "runtime/segment/model.h"
#include "tests/support/runtime_testing.h"
#include "tests/support/sanitizers.h"
#include "tests/support/temporary.h"
#include "weights_tools/safetensors/safetensors.h"
#include "weights_tools/seeded.h"

namespace atrous::caffe_test {

using namespace atrous::runtime_testing;
using atrous::testing::TemporaryFolder;

namespace {

struct Published {
  const char* port;     // the variant whose keys the weights have
  const char* script;   // what make_caffemodel.py calls the network
  const char* options;  // how it stores it
  const char* caffe;    // the variant that the .caffemodel is recognised as
  std::int64_t height, width;
  bool flipped = false;     // whether the Caffe model sees BGR where the port sees RGB
  double tolerance = 2e-5;  // as for conformance
};

const Published networks[] = {
    {"fcn32s-wkentaro", "fcn", "", "fcn32s-wkentaro", 41, 35},
    {"fcn16s-wkentaro", "fcn", "legacy", "fcn16s-wkentaro", 41, 35},
    {"fcn8s-wkentaro", "fcn", "diff", "fcn8s-wkentaro", 41, 35},
    {"fcn8s-wkentaro", "fcn-first", "v1 legacy", "fcn8s-wkentaro", 41, 35},
    {"fcn8s-atonce-wkentaro", "fcn-at-once", "", "fcn8s-atonce-wkentaro", 41, 35},
    {"deeplabv2-kazuto-resnet101-msc", "deeplabv2", "double", "deeplabv2-caffe-resnet101-msc", 49, 33},
    {"pspnet-semseg-resnet50", "pspnet", "legacy", "pspnet-caffe-resnet(3,4,6,3)", 49, 57, true},
    {"deconvnet-jasonlee", "deconvnet", "v1 legacy", "deconvnet-caffe-spec", 224, 256},
    {"parsenet-spec", "parsenet", "unpacked", "parsenet-spec", 41, 35}};

std::string quoted(const std::string& path) { return "'" + path + "'"; }

// False where Python or protobuf is missing.
bool write_caffemodel(const Published& network, const std::string& weights, const std::string& caffemodel) {
  constexpr int skipped = 77, to_exit_status = 256;
  const std::string command =
      str_cat("/usr/bin/python3 ", quoted(ATROUS_SOURCE_DIR "/tests/python/make_caffemodel.py"), ' ',
              quoted(weights), ' ', quoted(caffemodel), ' ', network.script, ' ', network.options);
  const int status = std::system(command.c_str());
  if (status == skipped * to_exit_status) return false;
  REQUIRE_MESSAGE(status == 0, command);
  return true;
}

std::vector<float> logits(const Model& model, const Tensor& input) {
  Session session(model.program);
  session.run(input.view());
  return values(session.output("out"));
}

Tensor with_channels_reversed(const Tensor& map) {
  Tensor out(map.shape());
  for (std::int64_t p = 0; p < map.shape().pixels(); ++p)
    for (std::int64_t c = 0; c < map.shape().c; ++c)
      out.data()[p * map.shape().c + c] = map.data()[p * map.shape().c + map.shape().c - 1 - c];
  return out;
}

}  // namespace

TEST_CASE("a .caffemodel gives the logits of the PyTorch port's checkpoint with the same weights") {
  SKIP_UNDER_ADDRESS_SANITIZER();
  if (std::system("/usr/bin/python3 -c 'import google.protobuf, numpy' 2>/dev/null && command -v protoc "
                  ">/dev/null") != 0) {
    std::puts("skipped: protobuf-compiler, python3-protobuf or python3-numpy is not installed");
    return;
  }
  for (const Published& network : networks) {
    CAPTURE(network.port);
    CAPTURE(network.script);
    const TemporaryFolder folder;
    const std::string weights = folder / "weights.safetensors", caffemodel = folder / "net.caffemodel";
    write_safetensors(weights, seeded_state(network.port, {.classes = 5, .width = 4, .aux = false}), {});
    if (!write_caffemodel(network, weights, caffemodel)) {
      std::puts("skipped: protobuf cannot be used");
      return;
    }
    ModelOptions options{.threads = 1};
    const bool at_once = std::string_view(network.port) == "fcn8s-atonce-wkentaro";
    if (at_once) options.hyper = Hyper("variant=fcn8s-atonce-wkentaro");
    const Model port = load_model(weights, options), caffe = load_model(caffemodel, {.threads = 1});
    CHECK(caffe.architecture == network.caffe);

    const Tensor input = noise({1, network.height, network.width, 3}, 5),
                 reversed = with_channels_reversed(input);
    const std::vector<float> expected = logits(port, input),
                             found = logits(caffe, network.flipped ? reversed : input);
    REQUIRE(found.size() == expected.size());
    const double difference = deviation(found, expected);
    MESSAGE(network.script, " ", network.port, ": ", difference);
    CHECK(difference <= network.tolerance);
  }
}

TEST_CASE("DeepLabV2 at Caffe's scales is the largest of three runs, corner on corner") {
  const StateDict state = seeded_state("deeplabv2-kazuto-resnet101-msc", {.classes = 5, .width = 4});
  StateDict bare;
  for (const auto& [key, tensor] : state.entries())
    bare.add(key.substr(std::string_view("base.").size()), tensor);
  const Model model = make_model(StateDict(state), std::nullopt, {.hyper = Hyper("msc=caffe"), .threads = 1}),
              base = make_model(std::move(bare), std::nullopt, {.threads = 1});
  CHECK(model.answer().align_corners);
  const Tensor picture = noise({1, 66, 49, 3}, 7);
  const auto low = [](const Model& of, const Tensor& input) {
    Session session(of.program);
    session.run(input.view());
    const ConstView out = session.output("out");
    Tensor kept(out.shape);
    std::ranges::copy(values(out), kept.data());
    return kept;
  };
  const auto resized = [](const Tensor& map, std::int64_t height, std::int64_t width) {
    Tensor out({1, height, width, map.shape().c});
    resize_reference({.mode = ResizeMode::bilinear, .align_corners = true}, map.view(), out.view());
    return out;
  };
  Tensor largest = low(base, picture);
  const Shape whole = largest.shape();
  // (66 - 1) / 2 + 1 = 33.5 rows and (49 - 1) / 2 + 1 columns; 49.75 and 37.
  for (const auto& [height, width] : {std::pair{33, 25}, {49, 37}}) {
    const Tensor scores = resized(low(base, resized(picture, height, width)), whole.h, whole.w);
    for (std::size_t i = 0; i < largest.values().size(); ++i)
      largest.values()[i] = std::max(largest.values()[i], scores.values()[i]);
  }
  CHECK(deviation(values(low(model, picture).view()), values(largest.view())) < 2e-5);
}

}  // namespace atrous::caffe_test
