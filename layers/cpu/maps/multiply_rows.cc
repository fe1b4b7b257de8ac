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

// Returns the sum of all values times 0: 0 where they are finite, otherwise a NaN.
double multiply_all(const float* from, std::int64_t rows, std::int64_t row_floats, const double* factors,
                    float* to) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> narrow;
  // Without vectors Highway rounds what overflows to the largest number.
  const auto lanes = static_cast<std::int64_t>(HWY_LANES(double) > 1 ? hn::Lanes(d) : 0);
  const auto zero = hn::Zero(d);
  auto sums = zero;
  double sum = 0;
  for (std::int64_t row = 0; row < rows; ++row, from += row_floats, to += row_floats) {
    const double factor = factors ? factors[row] : 1;
    std::int64_t i = 0;
    for (; lanes > 0 && i + lanes <= row_floats; i += lanes) {
      const auto x = hn::PromoteTo(d, hn::LoadU(narrow, from + i));
      sums = hn::MulAdd(x, zero, sums);
      hn::StoreU(hn::DemoteTo(narrow, hn::Mul(x, hn::Set(d, factor))), narrow, to + i);
    }
    for (; i < row_floats; ++i) {
      const double x = from[i];
      sum += x * 0;
      to[i] = static_cast<float>(x * factor);
    }
  }
  return sum + hn::GetLane(hn::SumOfLanes(d, sums));
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
