#include "layers/cpu/gemm_tile.h"

#include <algorithm>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layers/cpu/gemm_tile.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep

#include "hwy/highway.h"
#include "layers/cpu/activation-inl.h"
#include "layers/cpu/dispatch.h"

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

// Two vectors of a row from `from`, of which only the first `columns` floats exist.
HWY_INLINE void load_row(const float* from, std::int64_t columns, V& left, V& right) {
  const D d;
  if (columns == panel) {
    left = hn::LoadU(d, from);
    right = hn::LoadU(d, from + lanes);
    return;
  }
  HWY_ALIGN float row[panel] = {};
  std::copy_n(from, columns, row);
  left = hn::Load(d, row);
  right = hn::Load(d, row + lanes);
}

HWY_INLINE void store_row(V left, V right, float* to, std::int64_t columns) {
  const D d;
  if (columns == panel) {
    hn::StoreU(left, d, to);
    hn::StoreU(right, d, to + lanes);
    return;
  }
  HWY_ALIGN float row[panel];
  hn::Store(left, d, row);
  hn::Store(right, d, row + lanes);
  std::copy_n(row, columns, to);
}

template <int kRows>
void tile(const TileCall& t) {
  const D d;
  V left[kRows], right[kRows];
  for (int r = 0; r < kRows; ++r) {
    if (t.accumulate) {
      load_row(t.c[r] + t.column, t.columns, left[r], right[r]);
    } else {
      left[r] = hn::Zero(d);
      right[r] = hn::Zero(d);
    }
  }

  const float* HWY_RESTRICT a = t.a;
  const float* HWY_RESTRICT b = t.b;
  for (std::int64_t k = 0; k < t.depth; ++k) {
    const V b0 = hn::Load(d, b), b1 = hn::Load(d, b + lanes);
    for (int r = 0; r < kRows; ++r) {
      const V broadcast = hn::Set(d, a[r * tile_pitch]);
      left[r] = hn::MulAdd(broadcast, b0, left[r]);
      right[r] = hn::MulAdd(broadcast, b1, right[r]);
    }
    ++a;
    b += panel;
  }

  if (t.finish) {
    const V bias0 = hn::Load(d, t.bias), bias1 = hn::Load(d, t.bias + lanes);
    for (int r = 0; r < kRows; ++r) {
      left[r] = hn::Add(left[r], bias0);
      right[r] = hn::Add(right[r], bias1);
    }
    if (t.residual) {
      for (int r = 0; r < kRows; ++r) {
        V residual0, residual1;
        load_row(t.residual[r] + t.column, t.columns, residual0, residual1);
        left[r] = hn::Add(left[r], residual0);
        right[r] = hn::Add(right[r], residual1);
      }
    }
    if (t.activation != ActivationKind::none) {
      for (int r = 0; r < kRows; ++r) {
        left[r] = activate(d, t.activation, left[r]);
        right[r] = activate(d, t.activation, right[r]);
      }
    }
  }
  for (int r = 0; r < kRows; ++r) store_row(left[r], right[r], t.c[r] + t.column, t.columns);
}

using Run = void (*)(const TileCall&);

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
