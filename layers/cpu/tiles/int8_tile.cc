#include "layers/cpu/tiles/int8_tile.h"

#include <algorithm>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layers/cpu/tiles/int8_tile.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep

#include "hwy/highway.h"
#include "layers/cpu/dispatch.h"
#include "layers/cpu/tiles/u8-inl.h"
#include "layers/cpu/tiles/unroll-inl.h"

HWY_BEFORE_NAMESPACE();
namespace atrous {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using D32 = hn::ScalableTag<std::int32_t>;
using V = hn::Vec<D>;
using V32 = hn::Vec<D32>;
constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(D()));
constexpr std::int64_t panel = 2 * lanes;  // as gemm_tile.cc
constexpr int tile_rows = HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON ? 12 : 6;

// Sums that all rows share, of b alone: none.
struct NothingOfB {
  void add(V32, V32) {}
  void finish(V32&, V32&) const {}
};

// sums[row][column] (+)= add_step(a's 32 bits of a step, b's, sum) over `steps` steps, and what of_b makes of
// b alone. Every third row has a pointer, as in gemm_tile.cc; pitch: 32-bit words from row to row.
template <class AddStep, class OfB = NothingOfB>
HWY_INLINE void sum_steps(const std::int32_t* first_row, std::int64_t pitch, const std::int32_t* b,
                          std::int64_t steps, std::int32_t* sums, bool add, AddStep&& add_step,
                          OfB of_b = {}) {
  constexpr auto rows = std::make_integer_sequence<int, tile_rows>();
  constexpr auto thirds = std::make_integer_sequence<int, tile_rows / 3>();
  const D32 d;
  V32 left[tile_rows], right[tile_rows];
  if (add) {
    unroll(rows, [&](auto r) HWY_ATTR {
      left[r()] = hn::LoadU(d, sums + r() * panel);
      right[r()] = hn::LoadU(d, sums + r() * panel + lanes);
    });
  } else {
    unroll(rows, [&](auto r) HWY_ATTR { left[r()] = right[r()] = hn::Zero(d); });
  }
  const std::int32_t* HWY_RESTRICT a[tile_rows / 3];
  unroll(thirds, [&](auto i) HWY_ATTR { a[i()] = first_row + 3 * i() * pitch; });
  for (std::int64_t k = 0; k < steps; ++k) {
    const V32 b0 = hn::LoadU(d, b), b1 = hn::LoadU(d, b + lanes);
    of_b.add(b0, b1);
    unroll(rows, [&](auto r) HWY_ATTR {
      const V32 broadcast = hn::Set(d, a[r() / 3][r() % 3 * pitch]);
      left[r()] = add_step(broadcast, b0, left[r()]);
      right[r()] = add_step(broadcast, b1, right[r()]);
    });
    unroll(thirds, [&](auto i) HWY_ATTR { ++a[i()]; });
    b += panel;
  }
  unroll(rows, [&](auto r) HWY_ATTR {
    of_b.finish(left[r()], right[r()]);
    hn::StoreU(left[r()], d, sums + r() * panel);
    hn::StoreU(right[r()], d, sums + r() * panel + lanes);
  });
}

// The instructions are written out: Highway 1.0.3 lacks them.
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2
constexpr bool has_dot = true;

HWY_INLINE V32 dot_step(V32 bytes, V32 weights, V32 sum) {
#if HWY_TARGET == HWY_AVX3  // AVX-512 VNNI
  asm("vpdpbusd %2, %1, %0" : "+v"(sum.raw) : "v"(bytes.raw), "v"(weights.raw));
#else  // AVX-VNNI
  asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum.raw) : "x"(bytes.raw), "x"(weights.raw));
#endif
  return sum;
}

void dot(const Int8TileCall& t) {
  sum_steps(reinterpret_cast<const std::int32_t*>(t.a), t.pitch / 4,
            reinterpret_cast<const std::int32_t*>(t.b), t.depth / 4, t.sums, t.add,
            [](V32 bytes, V32 weights, V32 sum) HWY_ATTR { return dot_step(bytes, weights, sum); });
}
#elif HWY_TARGET == HWY_NEON
constexpr bool has_dot = true;

// The assembler is told of the instruction where the compiler's options do not.
#ifdef __ARM_FEATURE_DOTPROD
#define ATROUS_WITH_SDOT
#else
#define ATROUS_WITH_SDOT ".arch armv8.2-a+dotprod\n\t"
#endif

HWY_INLINE V32 dot_step(V32 bytes, V32 weights, V32 sum) {
  asm(ATROUS_WITH_SDOT "sdot %0.4s, %1.16b, %2.16b" : "+w"(sum.raw) : "w"(bytes.raw), "w"(weights.raw));
  return sum;
}

// SDOT multiplies signed bytes alone: x - 128 is x with its highest bit turned, and what that takes from the
// sums, 128 times the weights, is added in the end.
struct WeightSums {
  V32 left, right;

  // Written out, since one that is not would be for no instruction set.
  HWY_INLINE WeightSums() : left(hn::Zero(D32())), right(hn::Zero(D32())) {}
  void add(V32 b0, V32 b1) {
    const V32 ones = hn::Set(D32(), 0x01010101);
    left = dot_step(ones, b0, left);
    right = dot_step(ones, b1, right);
  }
  void finish(V32& sum_left, V32& sum_right) const {
    sum_left = hn::Add(sum_left, hn::ShiftLeft<7>(left));
    sum_right = hn::Add(sum_right, hn::ShiftLeft<7>(right));
  }
};

void dot(const Int8TileCall& t) {
  sum_steps(
      reinterpret_cast<const std::int32_t*>(t.a), t.pitch / 4, reinterpret_cast<const std::int32_t*>(t.b),
      t.depth / 4, t.sums, t.add,
      [](V32 bytes, V32 weights, V32 sum) HWY_ATTR {
        return dot_step(hn::Xor(bytes, hn::Set(D32(), static_cast<std::int32_t>(0x80808080u))), weights, sum);
      },
      WeightSums());
}
#else
constexpr bool has_dot = false;
void dot(const Int8TileCall&) {}
#endif

// sum + low * low + high * high of the pairs in each lane.
HWY_INLINE V32 add_pairs(V32 a, V32 b, V32 sum) {
  const D32 d;
#if HWY_ARCH_X86 && HWY_TARGET != HWY_EMU128 && HWY_TARGET != HWY_SCALAR
  const hn::RepartitionToNarrow<D32> narrow;
  V32 none = hn::Zero(d);  // x86's instruction adds both products of a lane
  return hn::ReorderWidenMulAccumulate(d, hn::BitCast(narrow, a), hn::BitCast(narrow, b), sum, none);
#else
  const auto low = [](V32 x) HWY_ATTR { return hn::ShiftRight<16>(hn::ShiftLeft<16>(x)); };
  static_cast<void>(d);
  return hn::Add(sum,
                 hn::Add(hn::Mul(low(a), low(b)), hn::Mul(hn::ShiftRight<16>(a), hn::ShiftRight<16>(b))));
#endif
}

void pairs(const Int16TileCall& t) {
  sum_steps(reinterpret_cast<const std::int32_t*>(t.a), t.pitch / 2,
            reinterpret_cast<const std::int32_t*>(t.b), t.depth / 2, t.sums, t.add,
            [](V32 a, V32 b, V32 sum) HWY_ATTR { return add_pairs(a, b, sum); });
}

HWY_INLINE V load_residual(const Int8FinishCall& f, std::int64_t row, std::int64_t at, std::int64_t count) {
  const D d;
  if (f.residual_dtype == DType::u8)
    return load_u8_first(d, reinterpret_cast<const std::uint8_t*>(f.residual[row]) + at, count);
  const float* floats = reinterpret_cast<const float*>(f.residual[row]) + at;
  if (count >= lanes) return hn::LoadU(d, floats);
  HWY_ALIGN float copy[lanes] = {};
  std::copy_n(floats, count, copy);
  return hn::Load(d, copy);
}

// To the bit what activate_in_fp32() (layers/ops/quantised_conv2d.h) gives.
HWY_INLINE V activate_exactly(ActivationKind kind, V x) {
  const D d;
  const V zero = hn::Zero(d), six = hn::Set(d, 6.f);
  if (kind == ActivationKind::none) return x;
  if (kind == ActivationKind::relu) return hn::Max(zero, x);
  if (kind == ActivationKind::relu6) return hn::Min(six, hn::Max(zero, x));
  const V inner = hn::Min(six, hn::Max(zero, hn::Add(x, hn::Set(d, 3.f))));
  return hn::Mul(kind == ActivationKind::hardswish ? hn::Mul(x, inner) : inner, hn::Set(d, 1.f / 6));
}

// One decision for all of a tile: kResidual and kSteps.
template <bool kResidual, bool kSteps>
void finish_all(const Int8FinishCall& f) {
  const D d;
  const D32 d32;
  const V residual_factor = hn::Set(d, f.residual_factor), lowest = hn::Set(d, f.lowest),
          highest = hn::Set(d, f.highest), inverse = hn::Set(d, f.inverse),
          zero_point = hn::Set(d, f.zero_point);
  for (std::int64_t j = 0; j < f.columns; j += lanes) {
    const V32 correction = hn::LoadU(d32, f.correction + j);
    const V factor = hn::LoadU(d, f.factor + j), offset = hn::LoadU(d, f.offset + j);
    const std::int64_t count = f.columns - j, at = f.column + j;
    for (std::int64_t r = 0; r < f.rows; ++r) {
      const V32 sum = hn::Add(hn::LoadU(d32, f.sums + r * f.pitch + j), correction);
      V value = hn::Add(hn::Mul(hn::ConvertTo(d, sum), factor), offset);
      if constexpr (kResidual)
        value = hn::Add(value, hn::Mul(load_residual(f, r, at, count), residual_factor));
      if constexpr (!kSteps) {
        value = activate_exactly(f.activation, value);
        if (f.out_dtype == DType::f32) {
          float* to = reinterpret_cast<float*>(f.out[r]) + at;
          if (count >= lanes) {
            hn::StoreU(value, d, to);
          } else {
            HWY_ALIGN float copy[lanes];
            hn::Store(value, d, copy);
            std::copy_n(copy, count, to);
          }
          continue;
        }
        value = hn::Add(hn::Mul(value, inverse), zero_point);
      }
      store_u8_first(d, hn::Min(highest, hn::Max(lowest, value)),
                     reinterpret_cast<std::uint8_t*>(f.out[r]) + at, count);
    }
  }
}

void finish(const Int8FinishCall& f) {
  if (f.in_steps)
    f.residual ? finish_all<true, true>(f) : finish_all<false, true>(f);
  else
    f.residual ? finish_all<true, false>(f) : finish_all<false, false>(f);
}

void taps(const Int8TapsCall& t) {
  const D32 d;
  const hn::Rebind<std::uint8_t, D32> unsigned_bytes;
  const hn::Rebind<std::int8_t, D32> signed_bytes;
  std::int64_t c = 0;
  for (; c + lanes <= t.channels; c += lanes) {
    V32 sum = hn::Zero(d);
    for (std::int64_t i = 0; i < t.count; ++i) {
      const V32 x = hn::PromoteTo(d, hn::LoadU(unsigned_bytes, t.taps[i] + c));
      sum =
          hn::Add(sum, hn::Mul(x, hn::PromoteTo(d, hn::LoadU(signed_bytes, t.weights + i * t.channels + c))));
    }
    hn::StoreU(sum, d, t.sums + c);
  }
  for (; c < t.channels; ++c) {
    t.sums[c] = 0;
    for (std::int64_t i = 0; i < t.count; ++i) t.sums[c] += t.taps[i][c] * t.weights[i * t.channels + c];
  }
}

#if HWY_TARGET == HWY_AVX3
constexpr bool has_dot_taps = true;

// 64 channels at a time: their bytes of four taps are interleaved, and each lane of 128 bits then holds
// neighbouring channels in one of four vectors. A transposition of lanes brings the sums into order.
void dot_taps(const Int8TapsCall& t) {
  const std::int8_t* weights = t.weights;
  for (std::int64_t c = 0; c < t.channels; c += 64) {
    const std::int64_t left = t.channels - c;
    const __mmask64 mask = left >= 64 ? ~__mmask64{0} : (__mmask64{1} << left) - 1;
    __m512i sum[4];
    for (__m512i& s : sum) s = _mm512_setzero_si512();
    for (std::int64_t i = 0; i < t.count; i += 4) {
      const auto load = [&](std::int64_t tap)
                            HWY_ATTR { return _mm512_maskz_loadu_epi8(mask, t.taps[i + tap] + c); };
      const __m512i x0 = load(0), x1 = load(1), x2 = load(2), x3 = load(3);
      const __m512i low01 = _mm512_unpacklo_epi8(x0, x1), high01 = _mm512_unpackhi_epi8(x0, x1),
                    low23 = _mm512_unpacklo_epi8(x2, x3), high23 = _mm512_unpackhi_epi8(x2, x3);
      const __m512i quads[4] = {_mm512_unpacklo_epi16(low01, low23), _mm512_unpackhi_epi16(low01, low23),
                                _mm512_unpacklo_epi16(high01, high23), _mm512_unpackhi_epi16(high01, high23)};
      for (int v = 0; v < 4; ++v, weights += 64)
        asm("vpdpbusd %2, %1, %0"
            : "+v"(sum[v])
            : "v"(quads[v]), "m"(*reinterpret_cast<const __m512i*>(weights)));
    }
    const __m512i a = _mm512_shuffle_i32x4(sum[0], sum[1], 0x44),
                  b = _mm512_shuffle_i32x4(sum[0], sum[1], 0xee),
                  e = _mm512_shuffle_i32x4(sum[2], sum[3], 0x44),
                  f = _mm512_shuffle_i32x4(sum[2], sum[3], 0xee);
    _mm512_storeu_si512(t.sums + c, _mm512_shuffle_i32x4(a, e, 0x88));
    _mm512_storeu_si512(t.sums + c + 16, _mm512_shuffle_i32x4(a, e, 0xdd));
    _mm512_storeu_si512(t.sums + c + 32, _mm512_shuffle_i32x4(b, f, 0x88));
    _mm512_storeu_si512(t.sums + c + 48, _mm512_shuffle_i32x4(b, f, 0xdd));
  }
}
#else
constexpr bool has_dot_taps = false;
void dot_taps(const Int8TapsCall&) {}
#endif

void widen(const std::uint8_t* from, std::int16_t* to, std::int64_t count) {
  const hn::ScalableTag<std::int16_t> d;
  const hn::Rebind<std::uint8_t, decltype(d)> narrow;
  const auto step = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + step <= count; i += step) hn::StoreU(hn::PromoteTo(d, hn::LoadU(narrow, from + i)), d, to + i);
  for (; i < count; ++i) to[i] = from[i];
}

void unpack(const std::int8_t* from, std::int16_t* to, std::int64_t steps) {
  for (std::int64_t k = 0; k < steps; ++k, from += 4 * panel, to += 4 * panel)
    for (std::int64_t j = 0; j < panel; ++j) {
      to[2 * j] = from[4 * j];
      to[2 * j + 1] = from[4 * j + 1];
      to[2 * (panel + j)] = from[4 * j + 2];
      to[2 * (panel + j) + 1] = from[4 * j + 3];
    }
}

}  // namespace

Int8Tile int8_tile(bool instruction) {
  const bool dots = has_dot && instruction, taps_dot = has_dot_taps && instruction;
  return {.rows = tile_rows,
          .columns = panel,
          .dot = dots ? dot : nullptr,
          .pairs = pairs,
          .finish = finish,
          .taps = taps_dot ? dot_taps : taps,
          .interleaved_taps = taps_dot,
          .widen = widen,
          .unpack = unpack};
}

}  // namespace HWY_NAMESPACE
}  // namespace atrous
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace atrous {

namespace {

bool processor_multiplies_bytes([[maybe_unused]] Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::avx512) return __builtin_cpu_supports("avx512vnni");
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  constexpr unsigned avx_vnni = 1u << 4;  // of leaf 7, subleaf 1
  return isa == Isa::avx2 && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax & avx_vnni) != 0;
#elif defined(__aarch64__) && defined(__linux__)
  return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#else
  return false;
#endif
}

}  // namespace

Int8Tile int8_tile(Isa isa, bool dot) {
  return ATROUS_FOR_ISA(isa, int8_tile)(dot && processor_multiplies_bytes(isa));
}

std::size_t place_of_tap(const Int8Tile& tile, std::int64_t channels, std::int64_t count,
                         std::int64_t channel, std::int64_t tap) {
  if (!tile.interleaved_taps) return static_cast<std::size_t>(tap * channels + channel);
  const std::int64_t within = channel % 64, vector = within / 4 % 4, lane = within / 16;
  const std::int64_t step = (channel / 64 * (count / 4) + tap / 4) * 4 + vector;
  return static_cast<std::size_t>(((step * 4 + lane) * 4 + channel % 4) * 4 + tap % 4);
}

std::size_t tap_weights(const Int8Tile& tile, std::int64_t channels, std::int64_t count) {
  return static_cast<std::size_t>(count * (tile.interleaved_taps ? (channels + 63) / 64 * 64 : channels));
}

}  // namespace atrous
#endif
