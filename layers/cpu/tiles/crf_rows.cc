#include "layers/cpu/tiles/crf_rows.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layers/cpu/tiles/crf_rows.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep

#include "hwy/cache_control.h"
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
// Rows lie in memory as the picture has it, so no processor foresees the next one. A row of 21 classes is two
// lines of a cache, and what is fetched fills a quarter of the first one: measured on Zen 5, from 16 to 64
// rows ahead a fifth of the time is saved, beyond 128 it grows again.
constexpr std::uint32_t ahead = 96;
constexpr std::int64_t pixels_ahead = 8;

// N vectors of a row, in registers.
template <int N>
struct Part {
  V at[N];

  HWY_INLINE Part() {}  // written out, since one that is not would be for no instruction set
  HWY_INLINE static Part of(float x) {
    Part p;
    for (V& v : p.at) v = hn::Set(D(), x);
    return p;
  }
  HWY_INLINE static Part load(const float* from) {
    Part p;
    for (int i = 0; i < N; ++i) p.at[i] = hn::LoadU(D(), from + i * lanes);
    return p;
  }
  HWY_INLINE void store(float* to) const {
    for (int i = 0; i < N; ++i) hn::StoreU(at[i], D(), to + i * lanes);
  }
  HWY_INLINE Part operator+(const Part& o) const {
    Part p;
    for (int i = 0; i < N; ++i) p.at[i] = hn::Add(at[i], o.at[i]);
    return p;
  }
  HWY_INLINE Part operator*(const Part& o) const {
    Part p;
    for (int i = 0; i < N; ++i) p.at[i] = hn::Mul(at[i], o.at[i]);
    return p;
  }
  // This times another and more.
  HWY_INLINE Part times(const Part& o, const Part& more) const {
    Part p;
    for (int i = 0; i < N; ++i) p.at[i] = hn::MulAdd(at[i], o.at[i], more.at[i]);
    return p;
  }
};

// work(Part<N>, c) for all parts of a row, the next one from element c on.
template <class Work>
HWY_INLINE void by_parts(std::int64_t stride, const Work& work) {
  std::int64_t c = 0;
  for (; stride - c >= 3 * lanes; c += 3 * lanes) work(Part<3>(), c);
  if (stride - c == 2 * lanes) return work(Part<2>(), c);
  if (stride != c) work(Part<1>(), c);
}

HWY_INLINE void prefetch(const float* row, std::int64_t stride) {
  for (std::int64_t c = 0; c < stride; c += 16) hwy::Prefetch(row + c);
}

void locate(const float* features, int d, const float* scale, CrfSimplexes& out) {
  const D f;
  const hn::RebindToSigned<D> n;
  using N = hn::Vec<decltype(n)>;
  const N one = hn::Set(n, 1), steps = hn::Set(n, d + 1);
  const V step = hn::Set(f, static_cast<float>(d + 1)), inverse = hn::Set(f, 1.f / static_cast<float>(d + 1));
  for (std::int64_t p = 0; p < crf_block; p += lanes) {
    V elevated[6], nearest[6], beyond[6];
    N rank[6];
    V sum = hn::Zero(f);
    for (int j = d; j > 0; --j) {
      const V c = hn::Mul(hn::LoadU(f, features + (j - 1) * crf_block + p), hn::Set(f, scale[j - 1]));
      elevated[j] = hn::Sub(sum, hn::Mul(hn::Set(f, static_cast<float>(j)), c));
      sum = hn::Add(sum, c);
    }
    elevated[0] = sum;
    N whole = hn::Zero(n);
    for (int i = 0; i <= d; ++i) {
      const V quotient = hn::Round(hn::Mul(elevated[i], inverse));  // half to even
      nearest[i] = hn::Mul(quotient, step);
      beyond[i] = hn::Sub(elevated[i], nearest[i]);
      whole = hn::Add(whole, hn::ConvertTo(n, quotient));
      rank[i] = hn::Zero(n);
    }
    for (int i = 0; i < d; ++i)
      for (int j = i + 1; j <= d; ++j) {
        const N less = hn::VecFromMask(n, hn::RebindMask(n, hn::Lt(beyond[i], beyond[j])));  // -1 where so
        rank[i] = hn::Sub(rank[i], less);
        rank[j] = hn::Add(rank[j], hn::Add(one, less));
      }
    V apart[6];
    for (int i = 0; i <= d; ++i) {
      rank[i] = hn::Add(rank[i], whole);
      const auto low = hn::Lt(rank[i], hn::Zero(n)), high = hn::Gt(rank[i], hn::Set(n, d));
      rank[i] = hn::Add(rank[i], hn::Sub(hn::IfThenElseZero(low, steps), hn::IfThenElseZero(high, steps)));
      nearest[i] = hn::Add(nearest[i], hn::Sub(hn::IfThenElseZero(hn::RebindMask(f, low), step),
                                               hn::IfThenElseZero(hn::RebindMask(f, high), step)));
      apart[i] = hn::Mul(hn::Sub(elevated[i], nearest[i]), inverse);
      hn::StoreU(hn::ConvertTo(n, nearest[i]), n, out.nearest[i] + p);
    }
    V by_rank[6];
    for (int r = 0; r <= d; ++r) {
      by_rank[r] = hn::Zero(f);
      N which = hn::Zero(n);
      for (int i = 0; i <= d; ++i) {
        const auto here = hn::Eq(rank[i], hn::Set(n, r));
        by_rank[r] = hn::IfThenElse(hn::RebindMask(f, here), apart[i], by_rank[r]);
        which = hn::IfThenElse(here, hn::Set(n, i), which);
      }
      hn::StoreU(which, n, out.sorted[r] + p);
    }
    for (int r = 1; r <= d; ++r)
      hn::StoreU(hn::Sub(by_rank[d - r], by_rank[d + 1 - r]), f, out.weights[r] + p);
    hn::StoreU(hn::Add(by_rank[d], hn::Sub(hn::Set(f, 1.f), by_rank[0])), f, out.weights[0] + p);
  }
}

bool range(const float* x, std::int64_t count, float& low, float& high) {
  const D d;
  V least = hn::Zero(d), most = hn::Zero(d), farthest = hn::Zero(d);
  const auto take = [&](const float* from) HWY_ATTR {
    const V v = hn::LoadU(d, from);
    least = hn::Min(least, v);
    most = hn::Max(most, v);
    farthest = hn::Add(farthest, hn::Sub(v, v));  // 0, or no number where v is none or infinite
  };
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) take(x + i);
  float rest[crf_lanes] = {};
  std::copy(x + i, x + count, rest);
  take(rest);
  low = hn::GetLane(hn::MinOfLanes(d, least));
  high = hn::GetLane(hn::MaxOfLanes(d, most));
  return hn::GetLane(hn::SumOfLanes(d, farthest)) == 0;
}

void logarithms(float* probabilities, std::int64_t count) {
  const D d;
  const auto log_of = [&](float* at) HWY_ATTR {
    hn::StoreU(hn::Log(d, hn::Min(hn::Max(hn::LoadU(d, at), hn::Set(d, 1e-5f)), hn::Set(d, 1.f))), d, at);
  };
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) log_of(probabilities + i);
  if (i == count) return;
  float rest[crf_lanes] = {};
  std::copy(probabilities + i, probabilities + count, rest);
  log_of(rest);
  std::copy_n(rest, count - i, probabilities + i);
}

void splat(const float* from, std::int64_t stride, const std::uint32_t* begins, const CrfSource* sources,
           std::int64_t first, std::int64_t last, float* to) {
  const std::uint32_t end = begins[last];
  by_parts(stride, [&]<int N>(Part<N>, std::int64_t c) HWY_ATTR {
    for (std::int64_t v = first; v < last; ++v) {
      auto sum = Part<N>::of(0);
      for (std::uint32_t s = begins[v]; s < begins[v + 1]; ++s) {
        prefetch(from + static_cast<std::int64_t>(sources[HWY_MIN(s + ahead, end - 1)].pixel) * stride + c,
                 N * lanes);
        const float* row = from + static_cast<std::int64_t>(sources[s].pixel) * stride + c;
        sum = Part<N>::load(row).times(Part<N>::of(sources[s].weight), sum);
      }
      sum.store(to + v * stride + c);
    }
  });
}

void blur(float* vertices, std::int64_t stride, const std::uint32_t* order, const std::uint32_t* begins,
          std::int64_t first, std::int64_t last) {
  const std::uint32_t end = begins[last];
  by_parts(stride, [&]<int N>(Part<N>, std::int64_t c) HWY_ATTR {
    using P = Part<N>;
    const P half = P::of(0.5f);
    float* const from = vertices + c;
    for (std::int64_t chain = first; chain < last; ++chain) {
      P before = P::of(0);
      std::uint32_t at = begins[chain];
      const std::uint32_t stop = begins[chain + 1];
      float* row = from + static_cast<std::int64_t>(order[at]) * stride;
      P here = P::load(row);
      prefetch(from + static_cast<std::int64_t>(order[HWY_MIN(at + ahead, end - 1)]) * stride, N * lanes);
      while (++at < stop) {
        prefetch(from + static_cast<std::int64_t>(order[HWY_MIN(at + ahead, end - 1)]) * stride, N * lanes);
        float* next = from + static_cast<std::int64_t>(order[at]) * stride;
        const P after = P::load(next);
        (here + half * (before + after)).store(row);
        before = here;
        here = after;
        row = next;
      }
      (here + half * before).store(row);
    }
  });
}

// exp(x) for x from -50 to 0, 0 for the least: what is less than 2e-22 is 0, since sums of such leave what
// processors count fast in. Cephes' expf: a power of two, and a polynomial for what is left.
HWY_INLINE V exp_of(V x) {
  const D d;
  const hn::RebindToSigned<D> n;
  const V least = hn::Set(d, -50.f), whole = hn::Set(d, 0x1.8p23f);
  x = hn::Max(x, least);
  const V shifted = hn::MulAdd(x, hn::Set(d, 1.44269504088896341f), whole), power = hn::Sub(shifted, whole);
  const V r =
      hn::NegMulAdd(power, hn::Set(d, -2.12194440e-4f), hn::NegMulAdd(power, hn::Set(d, 0.693359375f), x));
  V e = hn::Set(d, 1.9875691500e-4f);
  for (const float c :
       {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f})
    e = hn::MulAdd(e, r, hn::Set(d, c));
  e = hn::Add(hn::MulAdd(e, hn::Mul(r, r), r), hn::Set(d, 1.f));
  const auto bits = hn::Add(hn::BitCast(n, e), hn::ShiftLeft<23>(hn::BitCast(n, shifted)));
  return hn::IfThenZeroElse(hn::Eq(x, least), hn::BitCast(d, bits));
}

// What pixel p hears through a message, classes from c on.
template <int N>
HWY_INLINE Part<N> heard_by(const CrfMessage& m, std::int64_t p, std::int64_t stride, std::int64_t c) {
  const std::uint32_t* index = m.index + (p - m.first) * m.corners;
  const float* weights = m.weights + (p - m.first) * m.corners;
  auto sum = Part<N>::of(0);
  for (std::int64_t r = 0; r < m.corners; ++r) {
    const float* row = m.vertices + static_cast<std::int64_t>(index[r]) * stride + c;
    sum = Part<N>::load(row).times(Part<N>::of(weights[r]), sum);
  }
  return sum * Part<N>::of(m.factor);
}
template <int N>
HWY_INLINE Part<N> add_scaled(const Part<N>& sum, const CrfMessage& m, const Part<N>& heard, std::int64_t c) {
  return heard.times(m.diagonal ? Part<N>::load(m.diagonal + c) : Part<N>::of(m.scale), sum);
}

HWY_INLINE void prefetch_rows(const CrfMessage& m, std::int64_t p, std::int64_t stride) {
  if (m.near) return;
  const std::uint32_t* coming = m.index + (p - m.first) * m.corners;
  for (std::int64_t r = 0; r < m.corners; ++r)
    prefetch(m.vertices + static_cast<std::int64_t>(coming[r]) * stride, stride);
}

// A row stays in registers from the evidence to the distribution.
template <int N>
HWY_INLINE void update_row(const float* evidence, const float* padding, std::span<const CrfMessage> messages,
                           std::int64_t p, std::int64_t coming, float* out) {
  const D d;
  constexpr std::int64_t stride = N * lanes;
  auto sum = Part<N>::load(evidence) + Part<N>::load(padding);
  for (const CrfMessage& m : messages) {
    prefetch_rows(m, coming, stride);
    sum = add_scaled(sum, m, heard_by<N>(m, p, stride, 0), 0);
  }
  V largest = sum.at[0], total = hn::Zero(d);
  for (int i = 1; i < N; ++i) largest = hn::Max(largest, sum.at[i]);
  largest = hn::MaxOfLanes(d, largest);
  for (V& v : sum.at) {
    v = exp_of(hn::Sub(v, largest));
    total = hn::Add(total, v);
  }
  const V share = hn::Div(hn::Set(d, 1.f), hn::SumOfLanes(d, total));
  for (V& v : sum.at) v = hn::Mul(v, share);
  sum.store(out);
}

void update(const CrfEvidence& evidence, std::span<const CrfMessage> messages, std::int64_t stride,
            const CrfPixels& pixels, float* distribution, float* room) {
  const D d;
  const std::int64_t classes = evidence.classes;
  float *const total = room, *const heard = room + stride,
               *const padding = heard + static_cast<std::int64_t>(messages.size()) * stride;
  std::fill(padding, padding + classes, 0.f);
  std::fill(padding + classes, padding + stride, -1e30f);
  const auto evidence_of = [&](std::int64_t p) {
    const float* own = evidence.logarithms + p * evidence.pitch;
    return own + stride > evidence.end ? std::copy_n(own, classes, total) - classes : own;
  };
  const auto behind = [&](std::int64_t p) {
    const std::int64_t coming = p + pixels_ahead;
    return HWY_MIN(coming < pixels.last ? coming : coming + pixels.gap, pixels.all - 1);
  };
  bool matrix = false;
  for (const CrfMessage& m : messages) matrix |= m.matrix != nullptr;
  // 17 to 24 classes, as VOC and Cityscapes have: a third less time than below.
  if constexpr (lanes == crf_lanes)
    if (!matrix && stride == 3 * lanes) {
      for (std::int64_t p = pixels.first; p < pixels.last; ++p) {
        const std::int64_t coming = behind(p);
        prefetch(evidence.logarithms + coming * evidence.pitch, stride);
        prefetch(distribution + coming * stride, stride);
        update_row<3>(evidence_of(p), padding, messages, p, coming, distribution + p * stride);
      }
      return;
    }

  for (std::int64_t p = pixels.first; p < pixels.last; ++p) {
    for (const CrfMessage& m : messages) prefetch_rows(m, behind(p), stride);
    const float* own = evidence_of(p);
    float* const out = distribution + p * stride;
    by_parts(stride, [&]<int N>(Part<N>, std::int64_t c) HWY_ATTR {
      auto sum = Part<N>::load(own + c) + Part<N>::load(padding + c);
      for (std::size_t k = 0; k < messages.size(); ++k) {
        const auto here = heard_by<N>(messages[k], p, stride, c);
        if (messages[k].matrix) {
          here.store(heard + static_cast<std::int64_t>(k) * stride + c);
        } else {
          sum = add_scaled(sum, messages[k], here, c);
        }
      }
      sum.store(out + c);
    });
    for (std::size_t k = 0; k < messages.size(); ++k)
      for (std::int64_t j = 0; messages[k].matrix && j < classes; ++j) {
        const V weight = hn::Set(d, heard[static_cast<std::int64_t>(k) * stride + j]);
        for (std::int64_t c = 0; c < stride; c += lanes)
          hn::StoreU(hn::Add(hn::LoadU(d, out + c),
                             hn::Mul(weight, hn::LoadU(d, messages[k].matrix + j * stride + c))),
                     d, out + c);
      }
    V largest = hn::LoadU(d, out), sum = hn::Zero(d);
    for (std::int64_t c = lanes; c < stride; c += lanes) largest = hn::Max(largest, hn::LoadU(d, out + c));
    largest = hn::MaxOfLanes(d, largest);
    for (std::int64_t c = 0; c < stride; c += lanes) {
      const V e = exp_of(hn::Sub(hn::LoadU(d, out + c), largest));
      hn::StoreU(e, d, out + c);
      sum = hn::Add(sum, e);
    }
    const V share = hn::Div(hn::Set(d, 1.f), hn::SumOfLanes(d, sum));
    for (std::int64_t c = 0; c < stride; c += lanes)
      hn::StoreU(hn::Mul(hn::LoadU(d, out + c), share), d, out + c);
  }
}

}  // namespace

CrfRows crf_rows() { return {range, locate, logarithms, splat, blur, update}; }

}  // namespace HWY_NAMESPACE
}  // namespace atrous
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace atrous {

// Rows come eight floats at a time, for which AVX-512 has nothing that AVX2 has not.
CrfRows crf_rows(Isa isa) { return ATROUS_FOR_ISA(isa == Isa::avx512 ? Isa::avx2 : isa, crf_rows)(); }

}  // namespace atrous
#endif
