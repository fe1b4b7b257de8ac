#include "layers/cpu/tiles/crf_rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layers/cpu/tiles/crf_rows.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"
#include "layers/cpu/dispatch.h"

HWY_BEFORE_NAMESPACE();
namespace atrous {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::CappedTag<float, crf_lanes>;
using V = hn::Vec<D>;
constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(D()));

void splat(const float* from, std::int64_t stride, const std::uint32_t* begins, const CrfSource* sources,
           std::int64_t first, std::int64_t last, float* to) {
  const D d;
  for (std::int64_t v = first; v < last; ++v)
    for (std::int64_t c = 0; c < stride; c += lanes) {
      V sum = hn::Zero(d);
      for (std::uint32_t s = begins[v]; s < begins[v + 1]; ++s)
        sum = hn::Add(sum,
                      hn::Mul(hn::Set(d, sources[s].weight),
                              hn::LoadU(d, from + static_cast<std::int64_t>(sources[s].pixel) * stride + c)));
      hn::StoreU(sum, d, to + v * stride + c);
    }
}

void blur(float* vertices, std::int64_t stride, const std::uint32_t* chain, std::int64_t length,
          float* before) {
  const D d;
  const V half = hn::Set(d, 0.5f);
  for (std::int64_t c = 0; c < stride; c += lanes) hn::StoreU(hn::Zero(d), d, before + c);
  float* row = vertices + static_cast<std::int64_t>(chain[0]) * stride;
  for (std::int64_t i = 0; i < length; ++i) {
    float* next = i + 1 < length ? vertices + static_cast<std::int64_t>(chain[i + 1]) * stride : nullptr;
    for (std::int64_t c = 0; c < stride; c += lanes) {
      const V here = hn::LoadU(d, row + c);
      V around = hn::LoadU(d, before + c);
      if (next) around = hn::Add(around, hn::LoadU(d, next + c));
      hn::StoreU(here, d, before + c);
      hn::StoreU(hn::Add(here, hn::Mul(half, around)), d, row + c);
    }
    row = next;
  }
}

void update(const float* evidence, std::span<const CrfMessage> messages, std::int64_t classes,
            std::int64_t stride, std::int64_t first, std::int64_t last, float* distribution, float* room) {
  const D d;
  float *const total = room, *const heard = room + stride;
  for (std::int64_t p = first; p < last; ++p) {
    for (std::int64_t c = 0; c < stride; c += lanes)
      hn::StoreU(hn::LoadU(d, evidence + p * stride + c), d, total + c);
    for (const CrfMessage& m : messages) {
      const std::uint32_t* index = m.index + p * m.corners;
      const float* weights = m.weights + p * m.corners;
      const V factor = hn::Set(d, m.factor), scale = hn::Set(d, m.scale);
      for (std::int64_t c = 0; c < stride; c += lanes) {
        V sum = hn::Zero(d);
        for (std::int64_t r = 0; r < m.corners; ++r)
          sum = hn::Add(sum,
                        hn::Mul(hn::Set(d, weights[r]),
                                hn::LoadU(d, m.vertices + static_cast<std::int64_t>(index[r]) * stride + c)));
        sum = hn::Mul(sum, factor);
        if (m.matrix) {
          hn::StoreU(sum, d, heard + c);
          continue;
        }
        sum = hn::Mul(sum, m.diagonal ? hn::LoadU(d, m.diagonal + c) : scale);
        hn::StoreU(hn::Add(hn::LoadU(d, total + c), sum), d, total + c);
      }
      for (std::int64_t k = 0; m.matrix && k < classes; ++k)
        for (std::int64_t c = 0; c < stride; c += lanes)
          hn::StoreU(hn::Add(hn::LoadU(d, total + c),
                             hn::Mul(hn::Set(d, heard[k]), hn::LoadU(d, m.matrix + k * stride + c))),
                     d, total + c);
    }
    V largest = hn::LoadU(d, total);
    for (std::int64_t c = lanes; c < stride; c += lanes) largest = hn::Max(largest, hn::LoadU(d, total + c));
    largest = hn::MaxOfLanes(d, largest);
    V sum = hn::Zero(d);
    for (std::int64_t c = 0; c < stride; c += lanes) {
      // Highway's Exp wraps around far below 0, where nothing is left of exp.
      const V x = hn::Max(hn::Sub(hn::LoadU(d, total + c), largest), hn::Set(d, -100.f));
      const V e = hn::IfThenZeroElse(hn::Eq(x, hn::Set(d, -100.f)), hn::Exp(d, x));
      hn::StoreU(e, d, total + c);
      sum = hn::Add(sum, e);
    }
    sum = hn::SumOfLanes(d, sum);
    for (std::int64_t c = 0; c < stride; c += lanes)
      hn::StoreU(hn::Div(hn::LoadU(d, total + c), sum), d, distribution + p * stride + c);
  }
}

}  // namespace

CrfRows crf_rows() { return {splat, blur, update}; }

}  // namespace HWY_NAMESPACE
}  // namespace atrous
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace atrous {

CrfRows crf_rows(Isa isa) { return ATROUS_FOR_ISA(isa, crf_rows)(); }

}  // namespace atrous
#endif
