#include "runtime/quantisation/histogram.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>

#include "tests/support/layers_testing.h"

namespace atrous::histogram_test {

namespace {

constexpr std::int64_t half = Histogram::bins_each_side;

// Of a bell shape about `middle`, sums of twelve uniform draws.
std::vector<float> bell(std::size_t count, double middle, double deviation, bool rectified = false) {
  Random random(1);
  std::vector<float> values(count);
  for (float& v : values) {
    double sum = -6;
    for (int i = 0; i < 12; ++i) sum += static_cast<double>(pick(random, 0, 1 << 20)) / (1 << 20);
    v = static_cast<float>(middle + deviation * sum);
    if (rectified) v = std::max(v, 0.f);
  }
  return values;
}

Tensor map_of(const std::vector<float>& values) {
  return tensor_of({1, 1, static_cast<std::int64_t>(values.size()), 1}, values);
}

Histogram histogram_of(const std::vector<float>& values) {
  Histogram h;
  std::vector<double> sums;
  add_map(map_of(values).view(), h, sums, 1);
  return h;
}

double mean_error(const std::vector<float>& values, const ValueRange& range) {
  const Quantisation by = quantisation_of(range);
  double sum = 0;
  for (const float x : values) {
    const double error = static_cast<double>(x) - static_cast<double>(dequantise(quantise(x, by), by));
    sum += error * error;
  }
  return sum / static_cast<double>(values.size());
}

bool same(const Histogram& a, const Histogram& b) {
  return a.lowest == b.lowest && a.highest == b.highest && a.count == b.count && a.zeros == b.zeros &&
         a.width == b.width && a.bins == b.bins;
}

}  // namespace

TEST_CASE("a histogram counts each value in the bin that holds it") {
  Random random(2);
  Tensor map({2, 3, 5, 4});
  fill(map.view(), random, Draw::floats);
  map.data()[7] = 0;
  map.data()[8] = -0.f;
  map.data()[9] = 5.5f;
  Histogram h;
  std::vector<double> sums;
  add_map(map.view(), h, sums, 2);
  CHECK(h.count == 120);
  CHECK(h.zeros == 2);
  CHECK(h.highest == 5.5f);
  CHECK(h.lowest == *std::ranges::min_element(map.values()));
  CHECK(h.width == 8. / half);  // the smallest power of two whose 2048 bins reach 5.5
  for (std::int64_t i = 0; i < 2 * half; ++i) {
    const double from = static_cast<double>(i - half) * h.width;
    const auto inside = std::ranges::count_if(
        map.values(), [&](float x) { return x != 0 && x >= from && x < from + h.width; });
    REQUIRE(h.bins[static_cast<std::size_t>(i)] == inside);
  }
  for (std::size_t c = 0; c < 4; ++c) {
    double sum = 0;
    for (std::size_t i = c; i < 120; i += 4) sum += static_cast<double>(map.data()[i]);
    CHECK(sums[c] == doctest::Approx(sum).epsilon(1e-12));
  }
}

TEST_CASE("a histogram and sums are the same for any number of threads, order of maps and pitch") {
  Random random(3);
  Slice wide({1, 13, 17, 6}, 2, 5);
  fill(wide.view(), random, Draw::floats);
  Tensor large({1, 4, 4, 6});
  fill(large.view(), random, Draw::whole);
  Tensor dense({1, 13, 17, 6});
  for (std::int64_t p = 0; p < dense.shape().pixels(); ++p)
    std::copy_n(wide.view().data + p * wide.view().pitch, 6, dense.data() + p * 6);

  Histogram one, many, other_order, joined;
  std::vector<double> sums, sums_of_many, ignored;
  add_map(wide.view(), one, sums, 1);
  add_map(large.view(), one, sums, 1);
  add_map(dense.view(), many, sums_of_many, 3);
  add_map(large.view(), many, sums_of_many, 2);
  add_map(large.view(), other_order, ignored, 1);
  add_map(dense.view(), other_order, ignored, 1);
  CHECK(same(one, many));
  CHECK(sums == sums_of_many);
  CHECK(same(one, other_order));
  CHECK(wide.strangers_untouched());

  Histogram of_dense, of_large;
  ignored.clear();
  add_map(dense.view(), of_dense, ignored, 1);
  add_map(large.view(), of_large, ignored, 1);
  add(of_dense, joined);
  add(of_large, joined);
  CHECK(same(one, joined));
}

TEST_CASE("each channel's largest magnitude is that of all maps, for any number of threads and pitch") {
  Random random(4);
  Slice map({2, 7, 5, 3}, 1, 2);
  fill(map.view(), random, Draw::floats);
  std::vector<float> expected{0, 0, 0.75f};
  for (std::int64_t p = 0; p < map.view().shape.pixels(); ++p)
    for (std::size_t c = 0; c < 3; ++c)
      expected[c] = std::max(expected[c],
                             std::abs(map.view().data[p * map.view().pitch + static_cast<std::int64_t>(c)]));
  for (const int threads : {1, 3}) {
    std::vector<float> largest{0, 0, 0.75f};
    add_largest(map.view(), largest, threads);
    CHECK(largest == expected);
  }
  std::vector<float> none;
  add_largest(map.view(), none, 1);
  CHECK(none.size() == 3);
}

TEST_CASE("values that are no numbers are refused, and nothing is counted") {
  for (const float bad : {not_a_number, std::numeric_limits<float>::infinity()}) {
    Histogram h = histogram_of({1, 2, 3});
    const Histogram before = h;
    std::vector<double> sums{6};
    CHECK(error_of(ErrorCode::not_finite, [&] { add_map(map_of({1, bad}).view(), h, sums, 1); }) != "");
    CHECK(same(h, before));
    CHECK(sums == std::vector<double>{6});
  }
}

TEST_CASE("a histogram of zeros has the range of zero") {
  const Histogram h = histogram_of({0, 0, -0.f});
  for (const EstimatedRange& e : estimate_ranges(h)) {
    CHECK(e.range == ValueRange{});
    CHECK(e.error == 0);
  }
}

TEST_CASE("the errors of estimates are those of quantising the values themselves, within 2%") {
  for (const auto& values : {bell(50'000, 0, 1), bell(50'000, 0.5, 2, true), bell(50'000, -1, 0.001)})
    for (const EstimatedRange& e : estimate_ranges(histogram_of(values)))
      CHECK(e.error == doctest::Approx(mean_error(values, e.range)).epsilon(0.02));
}

TEST_CASE("percentiles cut off that share of the values at each end") {
  const auto values = bell(100'000, 0, 1);
  const Histogram h = histogram_of(values);
  const auto estimates = estimate_ranges(h);
  CHECK(estimates[0].range ==
        ValueRange{*std::ranges::min_element(values), *std::ranges::max_element(values)});
  const double shares[] = {0, 1e-3, 1e-4, 1e-5};
  for (std::size_t e = 1; e < 4; ++e) {
    auto sorted = values;
    std::ranges::sort(sorted);
    const auto cut = static_cast<std::size_t>(shares[e] * 1e5);
    CHECK(std::abs(estimates[e].range.lowest - sorted[cut]) <= h.width);
    CHECK(std::abs(estimates[e].range.highest - sorted[sorted.size() - 1 - cut]) <= h.width);
  }
  CHECK(saturated_share(h, estimates[1].range) == doctest::Approx(2e-3).epsilon(0.05));
  CHECK(saturated_share(h, estimates[0].range) == 0);
}

TEST_CASE("the least error is no larger than that of any other estimate or of any range on a grid") {
  auto values = bell(200'000, 0.2, 1, true);
  values.push_back(40);  // one value far out
  const Histogram h = histogram_of(values);
  const auto estimates = estimate_ranges(h);
  const EstimatedRange& least = estimates[static_cast<std::size_t>(Estimator::least_error)];
  CHECK(least.range.lowest == 0);
  CHECK(least.range.highest < 40);
  for (int i = 1; i <= 200; ++i)
    CHECK(least.error <= quantisation_error(h, {0, 40 * static_cast<float>(i) / 200}) * 1.02);
  const Histogram both = histogram_of(bell(20'000, 0, 1));
  const EstimatedRange of_both = estimate_ranges(both)[4];
  for (int low = 1; low <= 15; ++low)
    for (int high = 1; high <= 15; ++high)
      CHECK(of_both.error <= quantisation_error(both, {both.lowest * static_cast<float>(low) / 15,
                                                       both.highest * static_cast<float>(high) / 15}) *
                                 1.02);
}

}  // namespace atrous::histogram_test
