// Seeded weights: the recipe by key names, and the shapes of the published networks.
#include "weights_tools/seeded.h"

#include <doctest/doctest.h>

#include "layers/networks/segmentation.h"
#include "runtime/segment/model.h"
#include "tests/support/runtime_testing.h"
#include "tests/support/sanitizers.h"
#include "weights_tools/io/sha256.h"

namespace atrous::seeded_test {

using namespace atrous::runtime_testing;

namespace {

std::vector<float> values_of(const StateTensor& tensor) {
  const auto values = to_float(tensor);
  return {values.get(), values.get() + tensor.elements()};
}

}  // namespace

// Expected: ../shared/data/networks/seeded.py, NumPy 1.24.
TEST_CASE("a seeded tensor follows from its key as NumPy draws it") {
  const auto drawn = [](const char* key, const std::vector<std::int64_t>& shape) {
    return values_of(seeded_tensor(key, DType::f32, shape));
  };
  CHECK(drawn("a.weight", {3, 2, 1, 1}) == std::vector<float>{-0x1.d7d55ep-5f, -0x1.387964p-6f,
                                                              -0x1.e7e676p-2f, -0x1.0eb768p-2f,
                                                              -0x1.c616bep-3f, -0x1.bd61d8p-1f});
  CHECK(drawn("b.running_var", {3}) == std::vector<float>{0x1.ac6b3ep-1f, 0x1.d68d7ep-1f, 0x1.e761b8p-1f});
  CHECK(drawn("c.bias", {3}) == std::vector<float>{-0x1.a0d71ap-6f, -0x1.10e2eap-6f, -0x1.5ff8bap-3f});
  CHECK(drawn("d.scale", {2}) == std::vector<float>{-0x1.2479dp-6f, -0x1.72df7p-7f});
  CHECK(drawn("e.weight", {2}) == std::vector<float>{0x1.57c176p-1f, 0x1.e031a6p-1f});
  CHECK(values_of(seeded_tensor("f.num_batches_tracked", DType::i64, {})) == std::vector<float>{0});
  // Beyond the generator's 624 words.
  CHECK(
      sha256_of_bytes(seeded_tensor("backbone.layer4.0.conv2.weight", DType::f32, {64, 16, 3, 3}).bytes()) ==
      "c32aa6ff01f353105ac1a5562ca1bab39d66c1d110d09340cb49f9f9f6eb1285");
}

TEST_CASE("every key of a seeded network is drawn by the recipe") {
  const StateDict tiny = tiny_state("deeplabv3");
  for (const auto& [name, tensor] : tiny.entries()) {
    const std::string key = name;
    CAPTURE(key);
    CHECK(std::ranges::equal(tensor.bytes(), seeded_tensor(key, tensor.dtype, tensor.shape).bytes()));
  }
}

TEST_CASE("seeded networks have torchvision's shapes at a width of 64") {
  const StateDict state = seeded_state("fcn_resnet18");
  const auto shape = [&](const char* name) {
    const StateTensor* tensor = state.find(name);
    return tensor ? tensor->shape : std::vector<std::int64_t>{};
  };
  using Dims = std::vector<std::int64_t>;
  CHECK(shape("backbone.conv1.weight") == Dims{64, 3, 7, 7});
  CHECK(shape("backbone.layer4.1.conv2.weight") == Dims{512, 512, 3, 3});
  CHECK(shape("backbone.layer2.0.downsample.0.weight") == Dims{128, 64, 1, 1});
  CHECK(shape("classifier.4.weight") == Dims{21, 128, 1, 1});
  CHECK(shape("aux_classifier.0.weight") == Dims{64, 256, 3, 3});
  CHECK(shape("backbone.bn1.num_batches_tracked") == Dims{});
  CHECK(state.find("backbone.bn1.num_batches_tracked") != nullptr);
  CHECK(seeded_state("fcn_resnet18", {.aux = false}).find("aux_classifier.0.weight") == nullptr);
}

TEST_CASE("published networks have as many parameters as torchvision says") {
  // ../shared/docs/torchvision.md: batch norms' statistics left out, auxiliary heads not.
  const std::pair<const char*, std::int64_t> published[] = {{"fcn_resnet50", 35322218},
                                                            {"fcn_resnet101", 54314346},
                                                            {"deeplabv3_resnet50", 42004074},
                                                            {"deeplabv3_resnet101", 60996202},
                                                            {"lraspp_mobilenet_v3_large", 3221538},
                                                            {"deeplabv3_mobilenet_v3_large", 11029328}};
  for (const auto& [variant, parameters] : published) {
    const std::string name = variant;
    CAPTURE(name);
    std::int64_t found = 0;
    const PublishedNetwork published = published_network(name);
    for (const auto& [key, tensor] : published.keys.entries())
      if (!mentions(key, ".running_") && !key.ends_with("num_batches_tracked")) found += tensor.elements();
    CHECK(found == parameters);
  }
}

TEST_CASE("a seeded network is recognised as the one it was asked for") {
  SKIP_UNDER_ADDRESS_SANITIZER();
  for (const Family& family : families())
    for (const std::string_view name : family.variants) {
      CAPTURE(std::string(name));
      const PublishedNetwork published = published_network(name);
      const Recognised is = recognise_network(published.keys);
      CHECK((is.variant == name || std::ranges::find(is.same_keys, name) != is.same_keys.end()));
      CHECK(is.family == &family);
      // Built from weights it is what was built without. A MobileNetV3 at other widths has other expansions.
      const int width = mentions(std::string(name), "mobilenet") ? 64 : 4;
      const StateDict narrow = seeded_state(name, {.classes = 2, .width = width});
      Network built = build_network(narrow, {.aux = published.network.has_aux, .named = std::string(name)});
      if (!is.same_keys.empty() && width == 64) CHECK(built.architecture == name);
      // Which of the variants with the same keys it is, is asked of weights only.
      std::erase_if(built.choices, [](const Hyper::Choice& choice) { return choice.key == "variant"; });
      CHECK(built.classes == 2);
      CHECK(built.graph.nodes.size() == published.network.graph.nodes.size());
      CHECK(built.choices == published.network.choices);
      CHECK(published.network.classes >= 21);
    }
  const std::pair<const char*, const char*> networks[] = {
      {"fcn_resnet18", "fcn_resnet(2,2,2,2)"},
      {"deeplabv3_resnet101", "deeplabv3_resnet(3,4,23,3)"},
      {"deeplabv3_resnet(1,2,1,3)", "deeplabv3_resnet(1,2,1,3)"},
      {"fcn_mobilenet_v3_small", "fcn_mobilenet_v3_small(8,144)"}};
  for (const auto& [name, recognised] : networks)
    CHECK(build_network(seeded_state(name, {.classes = 2, .width = 16})).architecture == recognised);
}

TEST_CASE("seeded activations stay finite in a deep network and in a MobileNetV3") {
  for (const char* name : {"deeplabv3_resnet101", "lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large",
                           "lraspp_mobilenet_v3_small"}) {
    CAPTURE(std::string(name));
    const Model model = make_model(seeded_state(name, {.classes = 3, .width = 8, .aux = false}), std::nullopt,
                                   {.threads = 1});
    Session session(model.program, {.threads = 1});
    float largest = 0;
    for (const float v : run(session, noise({1, 33, 33, 3}).view())) largest = std::max(largest, std::abs(v));
    CHECK(largest > 0.01f);
    CHECK(largest < 1e6f);
  }
}

TEST_CASE("names of seeded networks that do not exist are refused by name") {
  for (const char* name : {"",
                           "resnet50",
                           "fcn",
                           "fcn_",
                           "fcn_resnet",
                           "fcn_resnet51",
                           "fcn_resnet50x",
                           " fcn_resnet50",
                           "FCN_resnet50",
                           "deeplabv3_resnet()",
                           "deeplabv3_resnet(1,1,1)",
                           "deeplabv3_resnet(1,1,1,1",
                           "deeplabv3_resnet(1,1,1,1,1)",
                           "deeplabv3_resnet(1,1,1,0)",
                           "deeplabv3_resnet(1,1,1,-1)",
                           "deeplabv3_resnet(1,1,1,101)",
                           "deeplabv3_resnet(1,1,1,99999999999)",
                           "deeplabv3_resnet(1, 1,1,1)",
                           "deeplabv3_resnet(1,1,1,1)x",
                           "lraspp_resnet50",
                           "lraspp_",
                           "mobilenet_v3_large",
                           "lraspp_mobilenet_v3",
                           "deeplabv3_mobilenet_v3_largest",
                           "lraspp_mobilenet_v3_large(8,480)"}) {
    CAPTURE(name);
    CHECK(mentions(sentence(ErrorCode::invalid_argument, [&] { seeded_state(name); }), name));
  }
}

TEST_CASE("seeded networks have 4 to 256 channels in the stem and at most 256 classes") {
  const auto refused = [](const SeededOptions& options) {
    return sentence(ErrorCode::invalid_argument, [&] { seeded_state("fcn_resnet18", options); }) != "";
  };
  CHECK(refused({.width = 3}));
  CHECK(refused({.width = 257}));
  CHECK(refused({.classes = 257}));
  CHECK(refused({.classes = -1}));
  CHECK_FALSE(refused({.classes = 256, .width = 4}));
}

}  // namespace atrous::seeded_test
