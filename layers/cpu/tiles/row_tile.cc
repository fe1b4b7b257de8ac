#include "layers/cpu/tiles/row_tile.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layers/cpu/tiles/row_tile.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep

#include "hwy/highway.h"
#include "layers/cpu/dispatch.h"
#include "layers/cpu/tiles/activation-inl.h"

HWY_BEFORE_NAMESPACE();
namespace atrous {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr std::int64_t lanes = hn::MaxLanes(D());

// As many accumulators as leave registers for the vectors of b and one of a: 24 of 32, 12 of 16.
constexpr int rows_of(int vectors) {
  constexpr bool many_registers = HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON;
  return (many_registers ? 24 : 12) / (vectors == 1 ? 2 : vectors);
}

// The first `count` floats of a vector. On AVX-512 the mask costs nothing; elsewhere masked stores are slow,
// or touch the floats behind.
HWY_INLINE V load_some(const float* from, std::int64_t count) {
  const D d;
  if (count >= lanes) return hn::LoadU(d, from);
#if HWY_TARGET == HWY_AVX3
  return hn::MaskedLoad(hn::FirstN(d, static_cast<std::size_t>(count)), d, from);
#else
  HWY_ALIGN float copy[lanes] = {};
  std::copy_n(from, count, copy);
  return hn::Load(d, copy);
#endif
}

HWY_INLINE void store_some(V v, float* to, std::int64_t count) {
  const D d;
  if (count >= lanes) {
    hn::StoreU(v, d, to);
    return;
  }
#if HWY_TARGET == HWY_AVX3
  hn::BlendedStore(v, hn::FirstN(d, static_cast<std::size_t>(count)), d, to);
#else
  HWY_ALIGN float copy[lanes];
  hn::Store(v, d, copy);
  std::copy_n(copy, count, to);
#endif
}

template <int kRows, int kVectors>
void tile(const RowTileCall& t) {
  const D d;
  constexpr int kSums = kRows * kVectors, kLast = kVectors - 1;
  V sum[kSums];
  HWY_UNROLL(32)
  for (int i = 0; i < kSums; ++i) sum[i] = hn::Load(d, t.bias + i % kVectors * lanes);
  // Four rows share an address register: the pitch, its double and its triple are offsets.
  constexpr int kGroups = (kRows + 3) / 4;
  const std::int64_t pitch = t.a_pitch;
  const float* HWY_RESTRICT b = t.b;
  for (std::int64_t s = 0; s < t.segments; ++s) {
    const float* HWY_RESTRICT a[kGroups];
    for (int g = 0; g < kGroups; ++g) a[g] = t.a + s * t.to_next_segment + 4 * g * pitch;
    for (std::int64_t k = 0; k < t.depth; ++k) {
      V weights[kVectors];
      for (int v = 0; v < kVectors; ++v) weights[v] = hn::Load(d, b + v * lanes);
      HWY_UNROLL(32)
      for (int r = 0; r < kRows; ++r) {
        const V pixel = hn::Set(d, a[r / 4][r % 4 * pitch]);
        for (int v = 0; v < kVectors; ++v)
          sum[r * kVectors + v] = hn::MulAdd(pixel, weights[v], sum[r * kVectors + v]);
      }
      for (int g = 0; g < kGroups; ++g) ++a[g];
      b += kVectors * lanes;
    }
  }
  const std::int64_t left = t.columns - kLast * lanes;
  if (t.residual) {
    HWY_UNROLL(32)
    for (int i = 0; i < kSums; ++i) {
      const int v = i % kVectors;
      const float* from = t.residual + i / kVectors * t.residual_pitch + v * lanes;
      sum[i] = hn::Add(sum[i], v < kLast ? hn::LoadU(d, from) : load_some(from, left));
    }
  }
  activate_all(d, t.activation, sum);
  HWY_UNROLL(32)
  for (int i = 0; i < kSums; ++i) {
    const int v = i % kVectors;
    float* to = t.c + i / kVectors * t.c_pitch + v * lanes;
    if (v < kLast)
      hn::StoreU(sum[i], d, to);
    else
      store_some(sum[i], to, left);
  }
}

}  // namespace

RowTiles row_tiles() {
  return {static_cast<int>(lanes),
          {0, rows_of(1), rows_of(2), rows_of(3)},
          {nullptr, tile<rows_of(1), 1>, tile<rows_of(2), 2>, tile<rows_of(3), 3>},
          {nullptr, tile<1, 1>, tile<1, 2>, tile<1, 3>}};
}

}  // namespace HWY_NAMESPACE
}  // namespace atrous
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace atrous {

namespace {

constexpr std::int64_t line_floats = 16;     // of a line of the caches
constexpr std::int64_t worth_fetching = 64;  // products of a sum: fewer are done before the lines have come

// What is added in the end lies too far apart for the processor to foresee. Inlined, since GCC leaves out
// calls of a function that does nothing but fetch.
HWY_INLINE void fetch_residual(const RowTileCall& t, std::int64_t rows) {
  if (!t.residual || t.segments * t.depth < worth_fetching) return;
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t j = 0; j < t.columns; j += line_floats)
      __builtin_prefetch(t.residual + r * t.residual_pitch + j);
}

}  // namespace

RowTiles row_tiles(Isa isa) { return ATROUS_FOR_ISA(isa, row_tiles)(); }

void RowTiles::run(RowTileCall t, int vectors, std::int64_t count) const {
  const RowTileCall first = t;
  const auto run_at = [&](std::int64_t pixel, std::int64_t pixels, auto* tile) {
    t.a = first.a + pixel * first.a_pitch;
    t.c = first.c + pixel * first.c_pitch;
    if (first.residual) t.residual = first.residual + pixel * first.residual_pitch;
    fetch_residual(t, pixels);
    tile(t);
  };
  const std::int64_t step = rows[vectors];
  const bool in_place = first.residual == first.c;
  const std::int64_t whole = count < step ? 0 : in_place ? count / step * step : count;
  for (std::int64_t pixel = 0; pixel < whole; pixel += step)
    run_at(std::min(pixel, count - step), step, many[vectors]);
  for (std::int64_t pixel = whole; pixel < count; ++pixel) run_at(pixel, 1, one[vectors]);
}

}  // namespace atrous
#endif
