// Logits that overflowed name no class: wherever they would become an answer, that is an error.
#include <doctest/doctest.h>

#include "runtime/engine/compare.h"
#include "runtime/engine/self_test.h"
#include "runtime/evaluation/evaluate.h"
#include "tests/support/evaluate_testing.h"
#include "tests/support/runtime_testing.h"

namespace atrous::not_finite_test {

using namespace atrous::runtime_testing;

namespace {

// The references take minutes at the size that photos are resized to, under a sanitizer.
const ResizeRule unresized{.kind = ResizeRule::Kind::none, .width = 0};

struct Overflow {
  const Model model = make_model(overflowing(tiny_state("fcn")), std::nullopt,
                                 {.name = "overflow.pth", .force = "reference", .threads = 1});
  Session session{model.program, {.threads = 1}};
};

template <class Action>
void check_refused(Action&& action) {
  CHECK(sentence(ErrorCode::not_finite, action) == "the logits of overflow.pth are not finite");
}

}  // namespace

TEST_CASE_FIXTURE(Overflow, "logits that are not finite become neither labels nor logits nor a self-test") {
  check_refused([&] { segment(session, model, photo(33, 40), {.resize = unresized}); });
  check_refused([&] { segment(session, model, photo(33, 40), {.resize = unresized, .confidence = false}); });
  check_refused([&] {
    segment(session, model, photo(33, 40), {.resize = unresized, .upsampling = Upsampling::transposed});
  });
  check_refused([&] { segment(session, model, noise({2, 16, 24, 3}).view()); });
  check_refused([&] { make_self_test(session); });
  check_refused([&] { run_self_test(session, SelfTest{.height = 16, .width = 24, .logits = {{0, 0}}}); });
  session.run(noise({2, 16, 24, 3}).view());
  check_refused([&] { label(session, 1, 5, 5, nullptr); });
  check_refused([&] { full_logits(session, model, 1, 16, 24, Upsampling::bilinear); });
  check_refused([&] { session.check_finite(0); });
  const Tensor copied = [&] {
    Tensor t(session.output().shape);
    std::ranges::copy(values(session.output()), t.data());
    return t;
  }();
  std::vector<std::uint8_t> labels(4);
  check_refused([&] { session.label(image_of(copied.view(), 0), {}, 2, 2, labels, {}); });
}

TEST_CASE("a network without a name is \"the network\" where its logits are not finite") {
  const Model model = make_model(overflowing(tiny_state("fcn")), std::nullopt, {.threads = 1});
  Session session(model.program, {.threads = 1});
  CHECK(sentence(ErrorCode::not_finite, [&] {
          segment(session, model, photo(33, 40), {.resize = unresized});
        }) == "the logits of the network are not finite");
}

TEST_CASE("only the image whose logits are not finite is refused") {
  const Model model = tiny_model("fcn");
  Session session(model.program, {.threads = 1});
  Tensor input = noise({2, 16, 24, 3});
  for (std::int64_t i = 0; i < 16 * 24 * 3; ++i) input.data()[i] = 3e38f;
  session.run(input.view());
  CHECK(sentence(ErrorCode::not_finite, [&] { label(session, 0, 16, 24, nullptr); }) != "");
  CHECK(label(session, 1, 16, 24, nullptr).width == 24);
}

TEST_CASE_FIXTURE(Overflow,
                  "the first layer whose output is not finite is named, and none of a sound network") {
  const Tensor input = noise({1, 32, 48, 3});
  CHECK(first_not_finite(session, input.view()) == "classifier.4 (conv2d)");
  const Model sound = tiny_model("fcn");
  Session other(sound.program, {.threads = 1});
  CHECK(first_not_finite(other, input.view()) == "");
}

TEST_CASE_FIXTURE(evaluate_testing::Pairs,
                  "logits that are not finite end an evaluation, with scores or without") {
  const Model overflow =
      make_model(overflowing(tiny_state("fcn")), std::nullopt, {.name = "overflow.pth", .threads = 1});
  for (const bool scores : {true, false}) {
    EvaluateOptions o = options();
    o.scores = scores;
    CHECK(sentence(ErrorCode::not_finite, [&] { evaluate(overflow, open(), o); }) ==
          photo_path(0) + ": the logits of overflow.pth are not finite");
  }
}

}  // namespace atrous::not_finite_test
