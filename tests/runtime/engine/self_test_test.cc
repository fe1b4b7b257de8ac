// The self-test that model files carry, seeded checkpoints, and the limits on threads.
#include "runtime/engine/self_test.h"

#include <doctest/doctest.h>

#include <cstring>
#include <limits>

#include "layers/cpu/parallel.h"
#include "tests/support/runtime_testing.h"
#include "weights_tools/io/sha256.h"

using namespace atrous;
using namespace atrous::runtime_testing;

namespace {

Model model_of(const StateDict& state) { return make_model(state, std::nullopt, {.threads = 1}); }

std::string digest(const StateDict& state) {
  std::vector<std::byte> all;
  const auto append = [&all](std::span<const std::byte> bytes) {
    all.insert(all.end(), bytes.begin(), bytes.end());
  };
  for (const auto& [name, tensor] : state.entries()) {
    append(std::as_bytes(std::span(name)));
    append(tensor.bytes());
  }
  return sha256_of_bytes(all);
}

}  // namespace

TEST_CASE("the self-test's input is its formula") {
  const Tensor input = self_test_input(5, 40);
  CHECK(input.shape() == Shape{1, 5, 40, 3});
  CHECK(input.view().at(0, 0, 0, 0) == -2.f);
  CHECK(input.view().at(0, 3, 37, 2) ==
        static_cast<float>((93 + 629 + 202 + 7 * (111 % 13)) % 256) / 64.f - 2.f);
}

TEST_CASE("a self-test holds on the network that made it, alone and through the metadata's strings") {
  for (const char* head : {"fcn", "deeplabv3"}) {
    const Model model = tiny_model(head);
    Session session(model.program, {.threads = 1});
    const SelfTest made = make_self_test(session);
    CHECK(made.indices.size() == 64);
    CHECK(made.values.size() == 64);
    CHECK(made.largest > 0);
    CHECK(run_self_test(session, made) == 0);

    Metadata metadata;
    metadata.self_test = made;
    const auto back = metadata_from_strings(to_strings(metadata));
    REQUIRE(back);
    CHECK(back->self_test == made);
    CHECK(run_self_test(session, *back->self_test) == 0);
  }
}

TEST_CASE("a self-test holds on every instruction set and on the references") {
  const Model model = tiny_model("deeplabv3");
  Session session(model.program, {.threads = 1});
  const SelfTest test = make_self_test(session);
  for (const Isa isa : supported_isas())
    for (const char* force : {"", "reference"}) {
      const Model other = tiny_model("deeplabv3", {.isa = isa, .force = force, .threads = 1});
      Session on_other(other.program, {.threads = 1});
      CHECK(run_self_test(on_other, test) <= static_cast<double>(test.tolerance));
    }
}

TEST_CASE("a self-test fails when any one tensor is scaled by a hundredth") {
  const StateDict state = tiny_state("deeplabv3");
  const Model model = model_of(state);
  Session session(model.program, {.threads = 1});
  const SelfTest test = make_self_test(session);
  for (const char* name :
       {"backbone.conv1.weight", "backbone.bn1.bias", "backbone.layer2.0.downsample.1.running_mean",
        "backbone.layer4.0.conv3.weight", "classifier.0.convs.2.0.weight", "classifier.0.convs.4.1.weight",
        "classifier.4.weight", "classifier.4.bias"}) {
    CAPTURE(name);
    const Model other = model_of(scaled(state, name, 1.01f));
    Session on_other(other.program, {.threads = 1});
    CHECK(run_self_test(on_other, test) > static_cast<double>(test.tolerance));
  }
}

TEST_CASE("a self-test is refused on a network whose logits are not numbers") {
  const StateDict state = tiny_state("fcn");
  const Model model = model_of(state);
  Session session(model.program, {.threads = 1});
  const SelfTest test = make_self_test(session);
  // Products beyond what a float holds, of both signs, meet in the last sum: infinity minus infinity. (A
  // fused multiply-add would not round the products, and stay infinite.)
  const Model other = make_model(overflowing(state), std::nullopt, {.force = "reference", .threads = 1});
  Session on_other(other.program, {.threads = 1});
  on_other.run(self_test_input(test.height, test.width).view());
  const auto logits = values(on_other.output());
  REQUIRE(std::ranges::all_of(logits, [](float v) { return std::isnan(v); }));
  CHECK(sentence(ErrorCode::not_finite, [&] { run_self_test(on_other, test); }) != "");
}

TEST_CASE("one expected value that is no number fails a self-test, wherever it stands") {
  const Model model = tiny_model("fcn");
  Session session(model.program, {.threads = 1});
  for (const std::size_t at : {std::size_t{0}, std::size_t{5}, std::size_t{63}}) {
    SelfTest test = make_self_test(session);
    test.values.at(at) = std::numeric_limits<float>::quiet_NaN();
    CHECK_FALSE(run_self_test(session, test) <= static_cast<double>(test.tolerance));
  }
}

TEST_CASE("a self-test for a larger map than the network gives is a mismatch with both numbers") {
  const Model model = tiny_model("fcn");
  Session session(model.program, {.threads = 1});
  SelfTest test = make_self_test(session, 16, 16, 4);
  test.indices.back() = 20;  // five classes at 2 x 2: indices up to 19
  const std::string said = sentence(ErrorCode::mismatch, [&] { run_self_test(session, test); });
  CHECK(mentions(said, "20"));
}

TEST_CASE("a map smaller than the self-test's count is kept whole") {
  const Model model = tiny_model("fcn");
  Session session(model.program, {.threads = 1});
  const SelfTest test = make_self_test(session, 8, 16, 64);
  CHECK(test.indices == std::vector<std::int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  // NCHW order: the second value is the first class at the second pixel.
  CHECK(test.values[1] == session.output().at(0, 0, 1, 0));
  CHECK(test.values[2] == session.output().at(0, 0, 0, 1));
}

TEST_CASE("seeded weights are the same on every machine") {
  const StateDict state = tiny_state("deeplabv3");
  CHECK(digest(state) == digest(tiny_state("deeplabv3")));
  CHECK(digest(state) == "0997f64c11d11316731386ce06bc414478f8febbc54492cbf891d55bf0116a49");
  CHECK(digest(tiny_state("deeplabv3", 2)) != digest(state));
}

TEST_CASE("seeded networks have torchvision's shapes at a width of 64") {
  const StateDict state = seeded_state("fcn_resnet18", {.aux = true});
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
}

TEST_CASE("seeded networks have the blocks their names promise") {
  const std::pair<const char*, const char*> networks[] = {
      {"fcn_resnet18", "fcn_resnet(2,2,2,2)"},
      {"fcn_resnet34", "fcn_resnet(3,4,6,3)"},
      {"deeplabv3_resnet50", "deeplabv3_resnet(3,4,6,3)"},
      {"deeplabv3_resnet101", "deeplabv3_resnet(3,4,23,3)"},
      {"fcn_resnet152", "fcn_resnet(3,8,36,3)"},
      {"deeplabv3_resnet(1,2,1,3)", "deeplabv3_resnet(1,2,1,3)"}};
  for (const auto& [name, recognised] : networks) {
    const StateDict narrow = seeded_state(name, {.classes = 2, .width = 4, .aux = false});
    CHECK(build_network(narrow).architecture == recognised);
    CHECK(build_network(narrow).has_aux == false);
  }
  CHECK(build_network(seeded_state("fcn_resnet18")).architecture == "fcn_resnet18");
  CHECK(build_network(seeded_state("fcn_resnet18", {.classes = 7, .width = 4})).classes == 7);
}

TEST_CASE("seeded MobileNetV3 networks have torchvision's shapes at a width of 64") {
  // The parameter counts that torchvision publishes, batch norms' statistics left out.
  const std::pair<const char*, std::int64_t> published[] = {{"lraspp_mobilenet_v3_large", 3221538},
                                                            {"deeplabv3_mobilenet_v3_large", 11029328}};
  for (const auto& one : published) {
    CAPTURE(one.first);
    const StateDict state = seeded_state(one.first);
    std::int64_t found = 0;
    for (const auto& [key, tensor] : state.entries())
      if (!mentions(key, ".running_") && !key.ends_with("num_batches_tracked")) found += tensor.elements();
    CHECK(found == one.second);
    CHECK(build_network(state).architecture == one.first);
  }
  CHECK(build_network(seeded_state("lraspp_mobilenet_v3_small")).architecture == "lraspp_mobilenet_v3_small");
  CHECK(build_network(seeded_state("fcn_mobilenet_v3_small", {.classes = 2, .width = 16})).architecture ==
        "fcn_mobilenet_v3_small(8,144)");
}

TEST_CASE("seeded activations neither die nor explode in a MobileNetV3") {
  for (const char* name :
       {"lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_small"})
    for (std::int64_t width : {8, 64}) {
      CAPTURE(name);
      CAPTURE(width);
      const Model model = make_model(seeded_state(name, {.classes = 3, .width = width, .aux = false}),
                                     std::nullopt, {.threads = 1});
      Session session(model.program, {.threads = 1});
      const auto logits = run(session, noise({1, 65, 65, 3}).view());
      float largest = 0;
      for (const float v : logits) largest = std::max(largest, std::abs(v));
      CHECK(largest > 0.1f);
      CHECK(largest < 100.f);
    }
}

TEST_CASE("seeded activations neither die nor explode in a deep network") {
  const Model model =
      make_model(seeded_state("deeplabv3_resnet101", {.classes = 3, .width = 4, .aux = false}), std::nullopt,
                 {.threads = 1});
  Session session(model.program, {.threads = 1});
  float largest = 0;
  for (const float v : run(session, noise({1, 33, 33, 3}).view())) largest = std::max(largest, std::abs(v));
  CHECK(largest > 0.01f);
  CHECK(largest < 1000.f);
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
                           "deeplabv3_mobilenet_v3_largest"}) {
    CAPTURE(name);
    CHECK(mentions(sentence(ErrorCode::invalid_argument, [&] { seeded_state(name); }), name));
  }
}

TEST_CASE("seeded networks have 4 to 256 channels in the stem and 1 to 256 classes") {
  const auto refused = [](const SeededOptions& options) {
    return sentence(ErrorCode::invalid_argument, [&] { seeded_state("fcn_resnet18", options); }) != "";
  };
  CHECK(refused({.width = 3}));
  CHECK(refused({.width = 257}));
  CHECK(refused({.classes = 0}));
  CHECK(refused({.classes = 257}));
  CHECK(refused({.classes = -1}));
  CHECK_FALSE(refused({.classes = 256, .width = 4}));
}

TEST_CASE("threads outside 0 to 1024 are refused") {
  for (const int asked : {-1, 1025, std::numeric_limits<int>::max(), std::numeric_limits<int>::min()}) {
    const std::string said = sentence(ErrorCode::invalid_argument, [&] { resolve_threads(asked); });
    CHECK(mentions(said, text(asked)));
    CHECK(mentions(said, "1024"));
  }
}
