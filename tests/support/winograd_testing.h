// What the tests of Winograd's schemes and kernels share: the schemes one by one, and how much rounding they
// cost.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

#include "layers/cpu/conv/winograd_scheme.h"

namespace atrous {

constexpr winograd::Scheme ordinary_schemes[] = {winograd::Scheme::f2, winograd::Scheme::f3,
                                                 winograd::Scheme::f4, winograd::Scheme::f5,
                                                 winograd::Scheme::f6};
constexpr winograd::Scheme whole_map_schemes[] = {winograd::Scheme::z1, winograd::Scheme::z2,
                                                  winograd::Scheme::z3};
constexpr winograd::Scheme doubled_schemes[] = {winograd::Scheme::d1, winograd::Scheme::d3,
                                                winograd::Scheme::db, winograd::Scheme::de};
constexpr winograd::Scheme strided_schemes[] = {winograd::Scheme::s1, winograd::Scheme::s3};

constexpr bool for_whole_maps(winograd::Scheme s) {
  return std::ranges::find(whole_map_schemes, s) != std::end(whole_map_schemes);
}
constexpr bool for_doubled_maps(winograd::Scheme s) {
  return std::ranges::find(doubled_schemes, s) != std::end(doubled_schemes);
}
constexpr bool for_stride_two(winograd::Scheme s) {
  return std::ranges::find(strided_schemes, s) != std::end(strided_schemes);
}

// Calls f with each scheme as a constant.
template <int kNumber = 0, class F>
void for_each_scheme(F&& f) {
  if constexpr (kNumber < winograd::scheme_count) {
    f(std::integral_constant<winograd::Scheme, static_cast<winograd::Scheme>(kNumber)>());
    for_each_scheme<kNumber + 1>(f);
  }
}

// How much larger than in a direct sum a rounding error of the products comes out of a scheme: for random w
// and x of variance 1 the products at point p vary by |G_p| |B_p|, output i by the root of 3, and A weighs
// the products. The largest and the root mean square of a tile's outputs; along two axes it is the square.
struct Amplification {
  double largest = 0, mean = 0;
};

inline Amplification amplification(winograd::Scheme scheme) {
  Amplification a;
  for_each_scheme([&](auto constant) {
    if (constant() != scheme) return;
    const auto& m = winograd::matrices<constant()>;
    const auto squares = [](const auto& matrix, int row) {
      double sum = 0;
      for (int c = 0; c < matrix.columns; ++c) sum += matrix.at[row][c] * matrix.at[row][c];
      return sum;
    };
    for (int i = 0; i < m.output.rows; ++i) {
      double variance = 0;
      for (int p = 0; p < m.output.columns; ++p)
        variance += m.output.at[i][p] * m.output.at[i][p] * squares(m.filter, info(scheme).filter_of(p)) *
                    squares(m.input, p) / 3;
      a.largest = std::max(a.largest, std::sqrt(variance));
      a.mean += variance / m.output.rows;
    }
  });
  a.mean = std::sqrt(a.mean);
  return a;
}

// Each addition to a running sum rounds it by at most 2^-24 of what it has come to, 0.4 times that on
// average; on the way to n random terms that makes 0.4 * 2^-24 * sqrt(n / 2) of the scale.
inline double rounding(std::int64_t channels) {
  return 0.4 * 0x1p-24 * std::sqrt(static_cast<double>(channels) / 2 + 10);
}

// The greatest error of a map's outputs, as a share of the scale: seven standard deviations.
inline double bound(double amplified, std::int64_t channels) {
  return 7 * amplified * amplified * rounding(channels);
}
inline double bound(std::span<const winograd::Scheme> schemes, std::int64_t channels) {
  double largest = 0;
  for (winograd::Scheme s : schemes) largest = std::max(largest, amplification(s).largest);
  return bound(largest, channels);
}

// Of a kernel by its name.
inline double bound_of(std::string_view kernel, std::int64_t stride, std::int64_t channels) {
  if (kernel == "winograd_doubled") return bound(doubled_schemes, channels);
  if (stride == 2) return bound(strided_schemes, channels);
  const int largest_tile = kernel[std::string_view("winograd_").size()] - '0';
  return std::max(
      bound(whole_map_schemes, channels),
      bound(std::span(ordinary_schemes).first(static_cast<std::size_t>(largest_tile - 1)), channels));
}

}  // namespace atrous
