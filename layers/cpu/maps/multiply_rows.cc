#include "layers/cpu/maps/multiply_rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layers/cpu/maps/multiply_rows.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep

#include "hwy/highway.h"
#include "layers/cpu/dispatch.h"

HWY_BEFORE_NAMESPACE();
namespace atrous {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

namespace {

// Writes the first values of a row, as many as whole vectors of doubles hold, and returns how many: none
// where there are no such vectors.
#if HWY_HAVE_FLOAT64
using Sums = hn::Vec<hn::ScalableTag<double>>;

std::int64_t multiply_vectors(const float* from, std::int64_t count, double factor, float* to, Sums& sums) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> narrow;
  // Without vectors Highway rounds what overflows to the largest number.
  const auto lanes = static_cast<std::int64_t>(HWY_LANES(double) > 1 ? hn::Lanes(d) : 0);
  std::int64_t i = 0;
  for (; lanes > 0 && i + lanes <= count; i += lanes) {
    const auto x = hn::PromoteTo(d, hn::LoadU(narrow, from + i));
    sums = hn::MulAdd(x, hn::Zero(d), sums);
    hn::StoreU(hn::DemoteTo(narrow, hn::Mul(x, hn::Set(d, factor))), narrow, to + i);
  }
  return i;
}

Sums no_sums() { return hn::Zero(hn::ScalableTag<double>()); }
double total(Sums sums) {
  const hn::ScalableTag<double> d;
  return hn::GetLane(hn::SumOfLanes(d, sums));
}
#else
using Sums = double;

std::int64_t multiply_vectors(const float*, std::int64_t, double, float*, Sums&) { return 0; }
Sums no_sums() { return 0; }
double total(Sums sums) { return sums; }
#endif

}  // namespace

// Returns the sum of all values times 0: 0 where they are finite, otherwise a NaN.
double multiply_all(const float* from, std::int64_t rows, std::int64_t row_floats, const double* factors,
                    float* to) {
  auto sums = no_sums();
  double sum = 0;
  for (std::int64_t row = 0; row < rows; ++row, from += row_floats, to += row_floats) {
    const double factor = factors ? factors[row] : 1;
    for (std::int64_t i = multiply_vectors(from, row_floats, factor, to, sums); i < row_floats; ++i) {
      const double x = from[i];
      sum += x * 0;
      to[i] = static_cast<float>(x * factor);
    }
  }
  return sum + total(sums);
}

}  // namespace HWY_NAMESPACE
}  // namespace atrous
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace atrous {

bool multiply_rows(Isa isa, const float* from, std::int64_t rows, std::int64_t row_floats,
                   const double* factors, float* to) {
  return ATROUS_FOR_ISA(isa, multiply_all)(from, rows, row_floats, factors, to) == 0;
}

}  // namespace atrous
#endif
