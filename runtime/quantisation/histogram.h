// How often the values of a map fall where, and the range that is worth 256 steps.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "layers/base/public.h"
#include "layers/base/quantisation.h"
#include "layers/base/tensor.h"

namespace ATROUS_PUBLIC atrous {

// Bins of one width, a power of two that doubles as larger values come: so bins are joined in pairs, and two
// histograms add up exactly.
struct Histogram {
  static constexpr int bins_each_side = 2048;

  float lowest = 0, highest = 0;      // of the values and zero
  std::int64_t count = 0, zeros = 0;  // of values; those that are zero exactly are in no bin
  double width = 0;                   // of a bin; 0 while all values are zero
  std::vector<std::int64_t> bins;     // [2 * 2048]: bin i from (i - 2048) * width on

  // Makes the bins wide enough for values between these.
  void grow(float low, float high);
};

// The values of a map added to a histogram, and to [channels] sums of each channel's, in an order that no
// number of threads changes. Error(not_finite) for values that are infinite or no numbers; then nothing is
// added.
void add_map(ConstView, Histogram&, std::vector<double>& channel_sums, int threads);

// largest, [channels] or empty: of each channel's magnitudes, those there and the map's.
void add_largest(ConstView, std::vector<float>& largest, int threads);

void add(const Histogram& from, Histogram& to);

// The range without up to that share of the values at each end, to whole bins; zero within it.
ValueRange cut_off(const Histogram&, double share);

// Ways to find a range:
//   extremes      from the lowest value to the highest
//   p999 ...      cut_off() by 1 / 1000, 1 / 10,000 and 1 / 100,000
//   least_error   of each end drawn in by factors of 0.95, in turn, those with the smallest
//   quantisation_error
enum class Estimator { extremes, p999, p9999, p99999, least_error };
constexpr int estimators = 5;
std::string_view name_of(Estimator);

struct EstimatedRange {
  ValueRange range;  // zero within it
  double error = 0;  // quantisation_error
};
// In the order of Estimator.
std::array<EstimatedRange, estimators> estimate_ranges(const Histogram&);

// The mean of (x - dequantise(quantise(x)))^2 for a range's quantisation. Each bin's values stand half at its
// first quarter and half at its third.
double quantisation_error(const Histogram&, const ValueRange&);

// The share of values in bins whose middle is beyond the range.
double saturated_share(const Histogram&, const ValueRange&);

}  // namespace atrous
