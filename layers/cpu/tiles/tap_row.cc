#include "layers/cpu/tiles/tap_row.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layers/cpu/tiles/tap_row.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep

#include "hwy/highway.h"
#include "layers/cpu/dispatch.h"

HWY_BEFORE_NAMESPACE();
namespace atrous {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

void sum_tap_row(const TapRowCall& t) {
  const hn::CappedTag<float, most_tap_outputs> d;
  constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  const auto activated = [&](auto x) HWY_ATTR { return t.relu ? hn::Max(hn::Zero(d), x) : x; };
  for (std::int64_t x = 0; x < t.pixels; ++x)
    for (std::int64_t first = 0; first < t.outputs; first += lanes) {
      auto sum = hn::LoadU(d, t.bias + first);
      for (std::int64_t r = 0; r < t.row_count; ++r) {
        const float* from = t.rows[r] + x * t.pitch + first;
        for (std::int64_t tap = 0; tap < t.taps; ++tap, from += t.pitch + t.outputs)
          sum = hn::Add(sum, hn::LoadU(d, from));
      }
      float* const to = t.c + x * t.c_pitch + first;
      const float* const residual = t.residual ? t.residual + x * t.residual_pitch + first : nullptr;
      const std::int64_t count = t.outputs - first;
      if (count >= lanes) {
        if (residual) sum = hn::Add(sum, hn::LoadU(d, residual));
        hn::StoreU(activated(sum), d, to);
        continue;
      }
      HWY_ALIGN float values[most_tap_outputs] = {};
      if (residual) {
        for (std::int64_t o = 0; o < count; ++o) values[o] = residual[o];
        sum = hn::Add(sum, hn::Load(d, values));
      }
      hn::Store(activated(sum), d, values);
      for (std::int64_t o = 0; o < count; ++o) to[o] = values[o];
    }
}

}  // namespace HWY_NAMESPACE
}  // namespace atrous
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace atrous {

void sum_tap_row(Isa isa, const TapRowCall& call) { ATROUS_FOR_ISA(isa, sum_tap_row)(call); }

}  // namespace atrous
#endif
