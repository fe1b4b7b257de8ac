#include "layers/cpu/tiles/gemm_tile.h"

#include <algorithm>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layers/cpu/tiles/gemm_tile.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep

#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "layers/cpu/dispatch.h"
#include "layers/cpu/tiles/activation-inl.h"
#include "layers/cpu/tiles/unroll-inl.h"

HWY_BEFORE_NAMESPACE();
namespace atrous {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr std::size_t lanes = hn::MaxLanes(D());
constexpr int panel = 2 * static_cast<int>(lanes);
constexpr int max_rows = HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON ? 12 : 6;

// The longer activations from memory: a loop over the accumulators would keep them on the stack from the
// start.
HWY_NOINLINE void activate_rows(const TileCall& t, int rows) {
  const D d;
  for (int r = 0; r < rows; ++r)
    for (float* c = t.c[r] + t.column; c < t.c[r] + t.column + panel; c += lanes)
      hn::StoreU(activate(d, t.activation, hn::LoadU(d, c)), d, c);
}

// All of the panel's columns exist.
template <int kRows>
HWY_NOINLINE void whole_tile(const TileCall& t) {
  constexpr auto rows = std::make_integer_sequence<int, kRows>();
  const D d;
  V left[kRows], right[kRows];
  if (t.begin) {
    unroll(rows, [&](auto r) HWY_ATTR {
      const float* begin = t.begin[r()] + t.column;
      left[r()] = hn::LoadU(d, begin);
      right[r()] = hn::LoadU(d, begin + lanes);
    });
  } else {
    unroll(rows, [&](auto r) HWY_ATTR { left[r()] = right[r()] = hn::Zero(d); });
  }

  // Every third row has a pointer; the others are one and two pitches away, which x86 addresses for free.
  constexpr auto thirds = std::make_integer_sequence<int, (kRows + 2) / 3>();
  const std::int64_t pitch = t.pitch;
  const float* HWY_RESTRICT a[(kRows + 2) / 3];
  unroll(thirds, [&](auto i) HWY_ATTR { a[i()] = t.a + 3 * i() * pitch; });
  const float* HWY_RESTRICT b = t.b;
  const float* next = t.next ? t.next : b;
  for (std::int64_t k = 0; k < t.depth; ++k) {
    const V b0 = hn::Load(d, b), b1 = hn::Load(d, b + lanes);
    unroll(rows, [&](auto r) HWY_ATTR {
      const V broadcast = hn::Set(d, a[r() / 3][r() % 3 * pitch]);
      left[r()] = hn::MulAdd(broadcast, b0, left[r()]);
      right[r()] = hn::MulAdd(broadcast, b1, right[r()]);
    });
    unroll(thirds, [&](auto i) HWY_ATTR { ++a[i()]; });
    b += panel;
    hwy::Prefetch(next);
    next += 64 / sizeof(float);
  }

  if (t.finish) {
    const V bias0 = hn::Load(d, t.bias), bias1 = hn::Load(d, t.bias + lanes);
    unroll(rows, [&](auto r) HWY_ATTR {
      left[r()] = hn::Add(left[r()], bias0);
      right[r()] = hn::Add(right[r()], bias1);
    });
    if (t.activation == ActivationKind::relu)
      unroll(rows, [&](auto r) HWY_ATTR {
        left[r()] = activate(d, ActivationKind::relu, left[r()]);
        right[r()] = activate(d, ActivationKind::relu, right[r()]);
      });
  }
  unroll(rows, [&](auto r) HWY_ATTR {
    float* c = t.c[r()] + t.column;
    hn::StoreU(left[r()], d, c);
    hn::StoreU(right[r()], d, c + lanes);
  });
  if (t.finish && t.activation != ActivationKind::none && t.activation != ActivationKind::relu)
    activate_rows(t, kRows);
}

using Run = void (*)(const TileCall&);

// The last panel may be wider than the output: then `whole`, which takes that many rows, works on a copy.
HWY_NOINLINE void part_of_tile(const TileCall& t, int rows, Run whole) {
  HWY_ALIGN float copy[max_rows][panel] = {};
  float* copies[max_rows];
  for (int r = 0; r < rows; ++r) {
    copies[r] = copy[r];
    if (t.begin) std::copy_n(t.begin[r] + t.column, t.columns, copy[r]);
  }
  TileCall call = t;
  call.c = copies;
  if (t.begin) call.begin = copies;
  call.column = 0;
  whole(call);
  for (int r = 0; r < rows; ++r) std::copy_n(copy[r], t.columns, t.c[r] + t.column);
}

template <int kRows>
void tile(const TileCall& t) {
  t.columns == panel ? whole_tile<kRows>(t) : part_of_tile(t, kRows, whole_tile<kRows>);
}

template <int... kRows>
struct Table {
  static constexpr Run run[] = {nullptr, tile<kRows + 1>...};
};
template <int... kRows>
constexpr const Run* table(std::integer_sequence<int, kRows...>) {
  return Table<kRows...>::run;
}

}  // namespace

GemmTile gemm_tile() { return {max_rows, panel, table(std::make_integer_sequence<int, max_rows>())}; }

}  // namespace HWY_NAMESPACE
}  // namespace atrous
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace atrous {

GemmTile gemm_tile(Isa isa) { return ATROUS_FOR_ISA(isa, gemm_tile)(); }

}  // namespace atrous
#endif
