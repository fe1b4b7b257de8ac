// The self-test that model files carry, and the limits on threads.
#include "runtime/engine/self_test.h"

#include <doctest/doctest.h>

#include <cstring>
#include <limits>

#include "layers/cpu/parallel.h"
#include "tests/support/runtime_testing.h"

namespace atrous::self_test_test {

using namespace atrous::runtime_testing;

namespace {

Model model_of(const StateDict& state) { return make_model(state, std::nullopt, {.threads = 1}); }

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
    CHECK(made.logits.size() == 64);
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
    test.logits.at(at).value = std::numeric_limits<float>::quiet_NaN();
    CHECK_FALSE(run_self_test(session, test) <= static_cast<double>(test.tolerance));
  }
}

TEST_CASE("a self-test for a larger map than the network gives is a mismatch with both numbers") {
  const Model model = tiny_model("fcn");
  Session session(model.program, {.threads = 1});
  SelfTest test = make_self_test(session, 16, 16, 4);
  test.logits.back().index = 20;  // five classes at 2 x 2: indices up to 19
  const std::string said = sentence(ErrorCode::mismatch, [&] { run_self_test(session, test); });
  CHECK(mentions(said, "20"));
}

TEST_CASE("a map smaller than the self-test's count is kept whole") {
  const Model model = tiny_model("fcn");
  Session session(model.program, {.threads = 1});
  const SelfTest test = make_self_test(session, 8, 16, 64);
  REQUIRE(test.logits.size() == 10);
  for (std::int64_t i = 0; const ExpectedLogit& logit : test.logits) CHECK(logit.index == i++);
  // NCHW order: the second value is the first class at the second pixel.
  CHECK(test.logits[1].value == session.output().at(0, 0, 1, 0));
  CHECK(test.logits[2].value == session.output().at(0, 0, 0, 1));
}

TEST_CASE("threads outside 0 to 1024 are refused") {
  for (const int asked : {-1, 1025, std::numeric_limits<int>::max(), std::numeric_limits<int>::min()}) {
    const std::string said = sentence(ErrorCode::invalid_argument, [&] { resolve_threads(asked); });
    CHECK(mentions(said, str_cat(asked)));
    CHECK(mentions(said, "1024"));
  }
}

}  // namespace atrous::self_test_test
