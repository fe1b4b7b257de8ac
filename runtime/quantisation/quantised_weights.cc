#include "runtime/quantisation/quantised_weights.h"

#include <algorithm>
#include <cmath>

#include "layers/base/error.h"
#include "layers/cpu/parallel.h"

namespace atrous {

namespace {

constexpr int scales = 20;

// To the nearest whole number, ties to even: of numbers this small the fraction does not fit beside 1.5 *
// 2^23.
float rounded(float x) {
  constexpr float shift = 12582912;
  return (x + shift) - shift;
}

float quantised(float w, float scale) { return std::clamp(rounded(w / scale), -127.f, 127.f); }

double squared_error(std::span<const float> weights, float scale) {
  double sum = 0;
  for (const float w : weights) {
    const double error = static_cast<double>(w) - static_cast<double>(scale * quantised(w, scale));
    sum += error * error;
  }
  return sum;
}

}  // namespace

QuantisedWeights quantise_weights(const Filter& filter, int threads) try {
  const std::int64_t each = filter.elements() / filter.d0;
  QuantisedWeights out;
  out.values.resize(static_cast<std::size_t>(filter.elements()));
  out.scale.resize(static_cast<std::size_t>(filter.d0));
  std::vector<double> errors(out.scale.size()), squares(out.scale.size());
  parallel_for(threads, filter.d0, [&](std::int64_t o) {
    const std::span weights(filter.data.get() + o * each, static_cast<std::size_t>(each));
    const auto channel = static_cast<std::size_t>(o);
    float largest = 0;
    for (const float w : weights) {
      largest = std::max(largest, std::abs(w));
      squares[channel] += static_cast<double>(w) * static_cast<double>(w);
    }
    float best = largest / 127;
    if (!std::isnormal(best)) best = 1;  // of weights that are zero any scale is right
    double least = squared_error(weights, best);
    for (int i = 1; i < scales; ++i) {
      const float scale = largest / 127 * (1 - static_cast<float>(i) / (2 * scales));
      if (!std::isnormal(scale)) break;
      if (const double error = squared_error(weights, scale); error < least) {
        least = error;
        best = scale;
      }
    }
    out.scale[channel] = best;
    errors[channel] = least;
    std::ranges::transform(weights, out.values.begin() + o * each,
                           [best](float w) { return static_cast<std::int8_t>(quantised(w, best)); });
  });
  double error = 0, square = 0;
  for (std::size_t o = 0; o < errors.size(); ++o) {
    error += errors[o];
    square += squares[o];
  }
  out.relative_error = square > 0 ? std::sqrt(error / square) : 0;
  return out;
} catch (...) {
  rethrow_as_error();
}

std::vector<float> bias_correction(const Filter& filter, const QuantisedWeights& quantised,
                                   std::int64_t groups, std::span<const double> mean) try {
  const std::int64_t taps = filter.kernel_h * filter.kernel_w, out = filter.d0, in = filter.d1;
  if (static_cast<std::int64_t>(mean.size()) != in * groups)
    fail(ErrorCode::invalid_argument, "bias correction: ", mean.size(), " means for ", in * groups,
         " channels");
  std::vector<float> correction;
  for (std::int64_t o = 0; o < out; ++o) {
    const std::int64_t first = o / (out / groups) * in;
    double sum = 0;
    for (std::int64_t i = 0; i < in; ++i) {
      double difference = 0;
      for (std::int64_t t = (o * in + i) * taps; t < (o * in + i + 1) * taps; ++t)
        difference += static_cast<double>(filter.data.get()[t]) -
                      static_cast<double>(quantised.scale[static_cast<std::size_t>(o)] *
                                          static_cast<float>(quantised.values[static_cast<std::size_t>(t)]));
      sum += difference * mean[static_cast<std::size_t>(first + i)];
    }
    correction.push_back(static_cast<float>(sum));
  }
  return correction;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
