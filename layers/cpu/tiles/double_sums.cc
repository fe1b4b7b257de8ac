#include "layers/cpu/tiles/double_sums.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layers/cpu/tiles/double_sums.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep

#include "hwy/highway.h"
#include "layers/cpu/dispatch.h"
#include "layers/cpu/tiles/activation-inl.h"

HWY_BEFORE_NAMESPACE();
namespace atrous {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

void add(const float* HWY_RESTRICT terms, double* HWY_RESTRICT sums, std::int64_t count) {
  std::int64_t i = 0;
#if HWY_HAVE_FLOAT64
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> narrow;  // as many floats as there are doubles in a vector
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (; i + lanes <= count; i += lanes)
    hn::StoreU(hn::Add(hn::LoadU(d, sums + i), hn::PromoteTo(d, hn::LoadU(narrow, terms + i))), d, sums + i);
#endif
  for (; i < count; ++i) sums[i] += static_cast<double>(terms[i]);
}

void finish(const double* HWY_RESTRICT sums, const float* HWY_RESTRICT bias,
            const float* HWY_RESTRICT residual, ActivationKind kind, float* HWY_RESTRICT out,
            std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const double sum = sums[i] + static_cast<double>(bias[i]);
    out[i] = static_cast<float>(residual ? sum + static_cast<double>(residual[i]) : sum);
  }
  const hn::ScalableTag<float> d;
  const auto floats = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + floats <= count; i += floats) hn::StoreU(activate(d, kind, hn::LoadU(d, out + i)), d, out + i);
  if (i == count) return;
  HWY_ALIGN float rest[hn::MaxLanes(d)] = {};
  std::copy_n(out + i, count - i, rest);
  hn::Store(activate(d, kind, hn::Load(d, rest)), d, rest);
  std::copy_n(rest, count - i, out + i);
}

}  // namespace

DoubleSums double_sums() { return {add, finish}; }

}  // namespace HWY_NAMESPACE
}  // namespace atrous
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace atrous {

DoubleSums double_sums(Isa isa) { return ATROUS_FOR_ISA(isa, double_sums)(); }

}  // namespace atrous
#endif
