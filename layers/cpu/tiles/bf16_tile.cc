#include "layers/cpu/tiles/bf16_tile.h"

#include <algorithm>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layers/cpu/tiles/bf16_tile.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep

#include "hwy/highway.h"
#include "layers/cpu/dispatch.h"
#include "layers/cpu/tiles/activation-inl.h"
#include "layers/cpu/tiles/bf16-inl.h"
#include "layers/cpu/tiles/unroll-inl.h"

HWY_BEFORE_NAMESPACE();
namespace atrous {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(D()));
constexpr std::int64_t panel = 2 * lanes;  // as gemm_tile.cc
constexpr int tile_rows = HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON ? 12 : 6;

#if HWY_TARGET == HWY_AVX3
constexpr bool has_dot = true;

// sum + low * low + high * high of the pairs in each lane.
HWY_INLINE V add_dot(V pairs, V others, V sum) {
  // What Highway 1.0.3 lacks.
  asm("vdpbf16ps %2, %1, %0" : "+v"(sum.raw) : "v"(others.raw), "v"(pairs.raw));
  return sum;
}

void dot(const Bf16TileCall& t) {
  constexpr auto rows = std::make_integer_sequence<int, tile_rows>();
  const D d;
  V left[tile_rows], right[tile_rows];
  if (t.add) {
    unroll(rows, [&](auto r) HWY_ATTR {
      left[r()] = hn::LoadU(d, t.sums + r() * panel);
      right[r()] = hn::LoadU(d, t.sums + r() * panel + lanes);
    });
  } else {
    unroll(rows, [&](auto r) HWY_ATTR { left[r()] = right[r()] = hn::Zero(d); });
  }
  // Pairs as floats: only their bits are moved. Every third row has a pointer, as in gemm_tile.cc.
  constexpr auto thirds = std::make_integer_sequence<int, tile_rows / 3>();
  const std::int64_t pitch = t.pitch / 2, steps = t.depth / 2;
  const float* HWY_RESTRICT a[tile_rows / 3];
  unroll(thirds, [&](auto i) HWY_ATTR { a[i()] = reinterpret_cast<const float*>(t.a) + 3 * i() * pitch; });
  const auto* HWY_RESTRICT b = reinterpret_cast<const float*>(t.b);
  for (std::int64_t k = 0; k < steps; ++k) {
    const V b0 = hn::Load(d, b), b1 = hn::Load(d, b + lanes);
    unroll(rows, [&](auto r) HWY_ATTR {
      const V broadcast = hn::Set(d, a[r() / 3][r() % 3 * pitch]);
      left[r()] = add_dot(broadcast, b0, left[r()]);
      right[r()] = add_dot(broadcast, b1, right[r()]);
    });
    unroll(thirds, [&](auto i) HWY_ATTR { ++a[i()]; });
    b += panel;
  }
  unroll(rows, [&](auto r) HWY_ATTR {
    hn::StoreU(left[r()], d, t.sums + r() * panel);
    hn::StoreU(right[r()], d, t.sums + r() * panel + lanes);
  });
}
#else
constexpr bool has_dot = false;
void dot(const Bf16TileCall&) {}
#endif

HWY_INLINE V load_some(const std::byte* from, DType dtype, std::int64_t at, std::int64_t count) {
  const D d;
  if (dtype == DType::bf16) return load_bf16_first(d, reinterpret_cast<const Bf16*>(from) + at, count);
  const float* floats = reinterpret_cast<const float*>(from) + at;
  if (count >= lanes) return hn::LoadU(d, floats);
  HWY_ALIGN float copy[lanes] = {};
  std::copy_n(floats, count, copy);
  return hn::Load(d, copy);
}

HWY_INLINE void store_some(V value, std::byte* to, DType dtype, std::int64_t at, std::int64_t count) {
  const D d;
  if (dtype == DType::bf16) return store_bf16_first(d, value, reinterpret_cast<Bf16*>(to) + at, count);
  float* floats = reinterpret_cast<float*>(to) + at;
  if (count >= lanes) return hn::StoreU(value, d, floats);
  HWY_ALIGN float copy[lanes];
  hn::Store(value, d, copy);
  std::copy_n(copy, count, floats);
}

void finish(const FinishCall& f) {
  const D d;
  for (std::int64_t r = 0; r < f.rows; ++r)
    for (std::int64_t j = 0; j < f.columns; j += lanes) {
      V value = hn::Add(hn::LoadU(d, f.sums + r * panel + j), hn::LoadU(d, f.bias + j));
      if (f.residual)
        value = hn::Add(value, load_some(f.residual[r], f.residual_dtype, f.column + j, f.columns - j));
      if (f.activation == ActivationKind::relu)
        value = hn::Max(hn::Zero(d), value);
      else if (f.activation != ActivationKind::none)
        value = activate(d, f.activation, value);
      store_some(value, f.out[r], f.out_dtype, f.column + j, f.columns - j);
    }
}

void unpack(const Bf16* from, float* to, std::int64_t pairs) {
  const hn::ScalableTag<std::uint32_t> bits;
  const D d;
  const auto high = hn::Set(bits, 0xffff0000U);
  const auto* words = reinterpret_cast<const std::uint32_t*>(from);
  for (std::int64_t k = 0; k < pairs; ++k, words += panel, to += 2 * panel)
    for (std::int64_t j = 0; j < panel; j += lanes) {
      const auto pair = hn::LoadU(bits, words + j);
      hn::StoreU(hn::BitCast(d, hn::ShiftLeft<16>(pair)), d, to + j);
      hn::StoreU(hn::BitCast(d, hn::And(pair, high)), d, to + panel + j);
    }
}

}  // namespace

Bf16Tile bf16_tile() { return {tile_rows, panel, has_dot ? dot : nullptr, finish, unpack}; }

}  // namespace HWY_NAMESPACE
}  // namespace atrous
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace atrous {

namespace {

bool processor_has_dot() {
#if defined(__x86_64__)
  static const bool has = __builtin_cpu_supports("avx512bf16");
  return has;
#else
  return false;
#endif
}

}  // namespace

Bf16Tile bf16_tile(Isa isa, bool dot) {
  Bf16Tile tile = ATROUS_FOR_ISA(isa, bf16_tile)();
  if (!dot || !processor_has_dot()) tile.dot = nullptr;
  return tile;
}

}  // namespace atrous
#endif
