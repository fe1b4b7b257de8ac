#include "runtime/quantisation/histogram.h"

#include <algorithm>
#include <cmath>

#include "layers/base/error.h"
#include "layers/cpu/parallel.h"

namespace atrous {

namespace {

constexpr std::int64_t half = Histogram::bins_each_side;
constexpr std::int64_t most_slices = 16;  // of a map's pixels: as many for any number of threads

template <class Use>
void each_value(const ConstView& map, std::int64_t slice, std::int64_t slices, Use&& use) {
  const std::int64_t pixels = map.shape.pixels();
  for (std::int64_t p = pixels * slice / slices; p < pixels * (slice + 1) / slices; ++p)
    for (std::int64_t c = 0; c < map.shape.c; ++c) use(map.data[p * map.pitch + c], c);
}

// The value at a bin's share `at`, no further out than the values are.
float value_in(const Histogram& h, std::size_t bin, double at) {
  const double value = (static_cast<double>(static_cast<std::int64_t>(bin) - half) + at) * h.width;
  return std::clamp(static_cast<float>(value), h.lowest, h.highest);
}

ValueRange least_error(const Histogram& h) {
  ValueRange best{h.lowest, h.highest};
  double error = quantisation_error(h, best);
  const int turns = h.lowest == 0 || h.highest == 0 ? 2 : 4;
  for (int turn = 0; turn < turns; ++turn) {
    float ValueRange::*const end = turn % 2 == 0 ? &ValueRange::highest : &ValueRange::lowest;
    ValueRange range = best;
    range.*end = turn % 2 == 0 ? h.highest : h.lowest;
    if (range.*end == 0) continue;
    for (int step = 0; step < 60; ++step, range.*end *= 0.95f)
      if (const double e = quantisation_error(h, range); e < error) {
        error = e;
        best = range;
      }
  }
  return best;
}

}  // namespace

void Histogram::grow(float low, float high) {
  lowest = std::min(lowest, low);
  highest = std::max(highest, high);
  bins.resize(2 * half);
  int exponent = 0;  // of the largest value: below 2^exponent
  const double largest = std::max(-static_cast<double>(lowest), static_cast<double>(highest));
  if (largest == 0) return;
  std::frexp(largest, &exponent);
  const double needed = std::ldexp(1.0 / static_cast<double>(half), exponent);
  if (width == 0) width = needed;
  for (; width < needed; width *= 2) {
    std::vector<std::int64_t> joined(bins.size());
    for (std::int64_t i = 0; i < 2 * half; ++i)
      joined[static_cast<std::size_t>(((i - half) >> 1) + half)] += bins[static_cast<std::size_t>(i)];
    bins = std::move(joined);
  }
}

void add_map(ConstView map, Histogram& h, std::vector<double>& channel_sums, int threads) try {
  const std::int64_t slices = std::min(most_slices, map.shape.pixels());
  const auto channels = static_cast<std::size_t>(map.shape.c);
  struct Part {
    std::vector<double> sums;
    float lowest = 0, highest = 0;
    std::vector<std::int64_t> bins = {};
    std::int64_t zeros = 0;
  };
  std::vector<Part> parts(static_cast<std::size_t>(slices), Part{.sums = std::vector<double>(channels)});
  parallel_for(threads, slices, [&](std::int64_t s) {
    Part& part = parts[static_cast<std::size_t>(s)];
    double* const sums = part.sums.data();
    each_value(map, s, slices, [&](float x, std::int64_t c) {
      sums[c] += static_cast<double>(x);
      part.lowest = std::min(part.lowest, x);
      part.highest = std::max(part.highest, x);
    });
  });
  float low = 0, high = 0;
  std::vector<double> sums(channels);
  for (Part& part : parts) {
    low = std::min(low, part.lowest);
    high = std::max(high, part.highest);
    std::ranges::transform(sums, part.sums, sums.begin(), std::plus<>());
    part.bins.resize(2 * half);
  }
  if (!std::ranges::all_of(sums, [](double s) { return std::isfinite(s); }))
    fail(ErrorCode::not_finite, "values are infinite or no numbers");

  h.grow(low, high);
  const double inverse = h.width > 0 ? 1 / h.width : 0;
  parallel_for(threads, slices, [&](std::int64_t s) {
    Part& part = parts[static_cast<std::size_t>(s)];
    std::int64_t* const bins = part.bins.data();
    each_value(map, s, slices, [&](float x, std::int64_t) {
      ++(x == 0 ? part.zeros : bins[static_cast<std::int64_t>(static_cast<double>(x) * inverse + half)]);
    });
  });
  channel_sums.resize(channels);
  std::ranges::transform(channel_sums, sums, channel_sums.begin(), std::plus<>());
  h.count += map.shape.pixels() * map.shape.c;
  for (const Part& part : parts) {
    h.zeros += part.zeros;
    std::ranges::transform(h.bins, part.bins, h.bins.begin(), std::plus<>());
  }
} catch (...) {
  rethrow_as_error();
}

void add_largest(ConstView map, std::vector<float>& largest, int threads) try {
  const std::int64_t slices = std::min(most_slices, map.shape.pixels());
  largest.resize(static_cast<std::size_t>(map.shape.c));
  std::vector<std::vector<float>> parts(static_cast<std::size_t>(slices), largest);
  parallel_for(threads, slices, [&](std::int64_t s) {
    float* const part = parts[static_cast<std::size_t>(s)].data();
    each_value(map, s, slices, [&](float x, std::int64_t c) { part[c] = std::max(part[c], std::abs(x)); });
  });
  for (const std::vector<float>& part : parts)
    std::ranges::transform(largest, part, largest.begin(), [](float a, float b) { return std::max(a, b); });
} catch (...) {
  rethrow_as_error();
}

void add(const Histogram& from, Histogram& to) try {
  Histogram alike = from;
  to.grow(from.lowest, from.highest);
  alike.grow(to.lowest, to.highest);
  to.count += from.count;
  to.zeros += from.zeros;
  std::ranges::transform(to.bins, alike.bins, to.bins.begin(), std::plus<>());
} catch (...) {
  rethrow_as_error();
}

ValueRange cut_off(const Histogram& h, double share) try {
  const auto allowed = static_cast<std::int64_t>(share * static_cast<double>(h.count));
  ValueRange range{h.lowest, h.highest};
  if (h.width == 0) return range;
  std::size_t first = 0, last = h.bins.size();
  for (std::int64_t below = h.bins[first]; below <= allowed && first < half; below += h.bins[first]) ++first;
  for (std::int64_t above = h.bins[last - 1]; above <= allowed && last > half; above += h.bins[last - 1])
    --last;
  return {value_in(h, first, 0), value_in(h, last, 0)};
} catch (...) {
  rethrow_as_error();
}

std::string_view name_of(Estimator e) {
  constexpr std::string_view names[estimators] = {"extremes", "99.9%", "99.99%", "99.999%", "least error"};
  return names[static_cast<std::size_t>(e)];
}

std::array<EstimatedRange, estimators> estimate_ranges(const Histogram& h) try {
  std::array<EstimatedRange, estimators> all{{{{h.lowest, h.highest}},
                                              {cut_off(h, 1e-3)},
                                              {cut_off(h, 1e-4)},
                                              {cut_off(h, 1e-5)},
                                              {least_error(h)}}};
  for (EstimatedRange& e : all) e.error = quantisation_error(h, e.range);
  return all;
} catch (...) {
  rethrow_as_error();
}

double quantisation_error(const Histogram& h, const ValueRange& range) try {
  const Quantisation by = quantisation_of(range);
  double sum = 0;
  for (std::size_t i = 0; i < h.bins.size(); ++i) {
    if (h.bins[i] == 0) continue;
    for (const double at : {0.25, 0.75}) {
      const float x = value_in(h, i, at);
      const double error = static_cast<double>(x) - static_cast<double>(dequantise(quantise(x, by), by));
      sum += static_cast<double>(h.bins[i]) / 2 * error * error;
    }
  }
  return h.count > 0 ? sum / static_cast<double>(h.count) : 0;
} catch (...) {
  rethrow_as_error();
}

double saturated_share(const Histogram& h, const ValueRange& range) try {
  std::int64_t beyond = 0;
  for (std::size_t i = 0; i < h.bins.size(); ++i)
    if (const float middle = value_in(h, i, 0.5); middle < range.lowest || middle > range.highest)
      beyond += h.bins[i];
  return h.count > 0 ? static_cast<double>(beyond) / static_cast<double>(h.count) : 0;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
