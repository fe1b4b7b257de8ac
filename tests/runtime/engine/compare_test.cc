// Networks compared layer by layer.
#include "runtime/engine/compare.h"

#include <doctest/doctest.h>

#include <limits>

#include "tests/support/runtime_testing.h"

namespace atrous::compare_test {

using namespace atrous::runtime_testing;

namespace {

Tensor row(std::vector<float> v) {
  Tensor t({1, 1, 1, static_cast<std::int64_t>(v.size())});
  std::ranges::copy(v, t.data());
  return t;
}

Difference between(std::vector<float> a, std::vector<float> b) {
  return difference(row(std::move(a)).view(), row(std::move(b)).view());
}

constexpr float infinity = std::numeric_limits<float>::infinity();

}  // namespace

TEST_CASE("the difference of two maps: worked by hand") {
  const Difference d = between({3, 4, 0}, {3, 0, 4});
  CHECK(d.max_abs == 4);
  CHECK(d.relative == 1);
  CHECK(d.cosine == doctest::Approx(9.0 / 25));
  const Difference same = between({1, -2, 5}, {1, -2, 5});
  CHECK(same.max_abs == 0);
  CHECK(same.relative == 0);
  CHECK(same.cosine == doctest::Approx(1));
  CHECK(between({-1, 2}, {1, -2}).cosine == doctest::Approx(-1));
}

TEST_CASE("zeros and values that are not finite have a difference too, never NaN") {
  CHECK(between({0, 0}, {0, 0}).cosine == 1);
  CHECK(between({0, 0}, {0, 0}).relative == 0);
  CHECK(between({1, 0}, {0, 0}).relative == infinity);
  CHECK(between({1, 0}, {0, 0}).cosine == 0);
  CHECK(between({infinity, 1}, {infinity, 1}).max_abs == 0);
  CHECK(between({infinity, 1}, {-infinity, 1}).max_abs == infinity);
  CHECK(between({1, 1}, {infinity, 1}).relative == infinity);
  CHECK(between({std::nanf(""), 1}, {std::nanf(""), 1}).max_abs == infinity);
  CHECK(between({std::nanf("")}, {1}).relative == infinity);
}

TEST_CASE("maps of different shapes are not compared") {
  CHECK(mentions(sentence(ErrorCode::mismatch, [] { between({1, 2}, {1, 2, 3}); }), "3"));
}

TEST_CASE("a pitch wider than the channels does not count") {
  Tensor wide({1, 1, 2, 3});
  std::ranges::copy(std::vector<float>{1, 2, 99, 3, 4, 98}, wide.data());
  const ConstView narrow{wide.data(), {1, 1, 2, 2}, 3};
  Tensor dense({1, 1, 2, 2});
  std::ranges::copy(std::vector<float>{1, 2, 3, 4}, dense.data());
  CHECK(difference(narrow, dense.view()).max_abs == 0);
}

TEST_CASE("a model equals itself in every layer, and another back end nearly") {
  const Model model = tiny_model("deeplabv3"),
              plain = tiny_model("deeplabv3", {.force = "reference", .threads = 1});
  Session a(model.program, {.threads = 1}), b(model.program, {.threads = 1}),
      c(plain.program, {.threads = 1});
  const Tensor input = noise({1, 33, 41, 3});
  const auto same = compare_layers(a, b, input.view());
  CHECK(same.size() > 10);
  for (const LayerDifference& l : same) CHECK(l.difference.max_abs == 0);
  const auto other = compare_layers(a, c, input.view());
  REQUIRE(other.size() == same.size());
  double worst = 0;
  for (const LayerDifference& l : other) worst = std::max(worst, l.difference.relative);
  CHECK(worst > 0);
  CHECK(worst < 1e-4);
}

TEST_CASE("the first layer that differs is the one whose weights do") {
  const Model model = tiny_model("fcn");
  const std::string changed = "backbone.layer2.0.conv2";
  const Model other =
      make_model(scaled(tiny_state("fcn"), changed + ".weight", 2.f), std::nullopt, {.threads = 1});
  Session a(model.program, {.threads = 1}), b(other.program, {.threads = 1});
  const auto layers = compare_layers(a, b, noise({1, 33, 41, 3}).view());
  const auto first = std::ranges::find_if(layers, [](const auto& l) { return l.difference.max_abs > 0; });
  REQUIRE(first != layers.end());
  CHECK(first->node == changed);
  CHECK(first->layer == "conv2d");
}

TEST_CASE("networks of different architectures are refused by the first layer that differs") {
  const Model deeplab = tiny_model("deeplabv3"), fcn = tiny_model("fcn");
  Session a(deeplab.program), b(fcn.program);
  CHECK(mentions(sentence(ErrorCode::mismatch,
                          [&] {
                            compare_layers(a, b, noise({1, 9, 9, 3}).view());
                          }),
                 "classifier."));
}

}  // namespace atrous::compare_test
