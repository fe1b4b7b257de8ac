#include "runtime/quantisation/quantised_weights.h"

#include <doctest/doctest.h>

#include <cmath>

#include "layers/ops/conv2d.h"
#include "tests/support/layers_testing.h"

namespace atrous::quantised_weights_test {

namespace {

Filter drawn_filter(std::int64_t out, std::int64_t in, std::int64_t kernel, std::uint64_t seed) {
  Random random(seed);
  return {out, in, kernel, kernel, drawn(out * in * kernel * kernel, random, Draw::floats)};
}

}  // namespace

TEST_CASE(
    "weights are whole numbers from -127 to 127 times their channel's scale, off by half of that at most") {
  const Filter filter = drawn_filter(7, 5, 3, 1);
  const QuantisedWeights q = quantise_weights(filter, 1);
  REQUIRE(q.values.size() == 7 * 45);
  REQUIRE(q.scale.size() == 7);
  double error = 0, square = 0;
  for (std::size_t i = 0; i < q.values.size(); ++i) {
    const double w = filter.data.get()[i], scale = q.scale[i / 45];
    CHECK(std::abs(q.values[i]) <= 127);
    // What a smaller scale cuts off lies at the end.
    const bool cut = std::abs(w) > 127.5 * scale;
    CHECK((cut ? std::abs(q.values[i]) == 127 : std::abs(w - scale * q.values[i]) <= scale * 0.5001));
    error += std::pow(w - scale * q.values[i], 2);
    square += w * w;
  }
  CHECK(q.relative_error == doctest::Approx(std::sqrt(error / square)).epsilon(1e-4));
}

TEST_CASE("each channel's scale errs no more than that of its largest weight") {
  Random random(4);
  std::shared_ptr<float[]> weights(new float[400]);
  fill({weights.get(), {1, 1, 1, 400}, 400}, random, Draw::floats);
  weights[3] = 4;  // far beyond the others of channel 0
  const Filter filter{4, 100, 1, 1, {weights, weights.get()}};
  const QuantisedWeights q = quantise_weights(filter, 1);
  const auto error_of_scale = [&](std::int64_t o, double scale) {
    double sum = 0;
    for (std::int64_t i = o * 100; i < o * 100 + 100; ++i)
      sum += std::pow(weights[i] - scale * std::clamp(std::nearbyint(weights[i] / scale), -127., 127.), 2);
    return sum;
  };
  for (std::int64_t o = 0; o < 4; ++o) {
    double largest = 0;
    for (std::int64_t i = o * 100; i < o * 100 + 100; ++i)
      largest = std::max(largest, std::abs(static_cast<double>(weights[i])));
    double least = error_of_scale(o, largest / 127);
    for (int i = 1; i < 20; ++i) least = std::min(least, error_of_scale(o, largest / 127 * (1 - i / 40.)));
    CHECK(error_of_scale(o, q.scale[static_cast<std::size_t>(o)]) <= least * 1.0001);
  }
}

TEST_CASE("quantised weights are the same for any number of threads; channels of zeros stay zeros") {
  const Filter filter = drawn_filter(16, 8, 3, 2);
  std::fill_n(const_cast<float*>(filter.data.get()) + 72, 72, 0.f);
  const QuantisedWeights one = quantise_weights(filter, 1), many = quantise_weights(filter, 3);
  CHECK(one.values == many.values);
  CHECK(one.scale == many.scale);
  CHECK(one.relative_error == many.relative_error);
  CHECK(one.scale[1] == 1);
  CHECK(std::all_of(one.values.begin() + 72, one.values.begin() + 144, [](std::int8_t v) { return v == 0; }));
}

TEST_CASE("the correction is what the mean of a convolution's sums lost") {
  for (const std::int64_t groups : {1, 2, 6}) {
    CAPTURE(groups);
    const Filter filter = drawn_filter(6, 6 / groups, 3, 3);
    const QuantisedWeights q = quantise_weights(filter, 1);
    // An input that is its means throughout, without padding: then every sum is the mean of the sums.
    const std::vector<double> mean{0.5, -1.25, 2, 0, 3.5, 0.125};
    Tensor in({1, 3, 3, 6}), exact({1, 1, 1, 6}), rounded({1, 1, 1, 6});
    for (std::size_t i = 0; i < in.values().size(); ++i) in.data()[i] = static_cast<float>(mean[i % 6]);
    Filter quantised = filter;
    quantised.quantised = {std::make_shared<int>(), q.values.data()};
    quantised.scale = {std::make_shared<int>(), q.scale.data()};
    quantised.data = dequantised(quantised);
    quantised.quantised = nullptr;
    conv2d_reference({.weight = filter, .bias = nullptr, .groups = groups}, in.view(), nullptr, exact.view());
    conv2d_reference({.weight = quantised, .bias = nullptr, .groups = groups}, in.view(), nullptr,
                     rounded.view());
    const std::vector<float> correction = bias_correction(filter, q, groups, mean);
    REQUIRE(correction.size() == 6);
    for (std::size_t o = 0; o < 6; ++o)
      CHECK(correction[o] == doctest::Approx(exact.data()[o] - rounded.data()[o]).epsilon(1e-3));
  }
  const Filter filter = drawn_filter(4, 4, 1, 1);
  CHECK(contains(
      error_of(ErrorCode::invalid_argument,
               [&] { bias_correction(filter, quantise_weights(filter, 1), 1, std::vector<double>(3)); }),
      "3 means for 4 channels"));
}

}  // namespace atrous::quantised_weights_test
