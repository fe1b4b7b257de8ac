#include "layers/cpu/maps/convert.h"

#include <algorithm>

#include "layers/base/error.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layers/cpu/maps/convert.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep

#include "hwy/highway.h"
#include "layers/cpu/dispatch.h"
#include "layers/cpu/parallel.h"
#include "layers/cpu/tiles/bf16-inl.h"
#include "layers/cpu/tiles/u8-inl.h"

HWY_BEFORE_NAMESPACE();
namespace atrous {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

void widen(const Bf16* from, float* to, std::int64_t count) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(load_bf16(d, from + i), d, to + i);
  for (; i < count; ++i) to[i] = to_float(from[i]);
}

void narrow(const float* from, Bf16* to, std::int64_t count) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) store_bf16(d, hn::LoadU(d, from + i), to + i);
  for (; i < count; ++i) to[i] = to_bf16(from[i]);
}

void dequantise_all(const std::uint8_t* from, const Quantisation& by, float* to, std::int64_t count) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto scale = hn::Set(d, by.scale), zero_point = hn::Set(d, static_cast<float>(by.zero_point));
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes)
    hn::StoreU(hn::Mul(scale, hn::Sub(load_u8(d, from + i), zero_point)), d, to + i);
  for (; i < count; ++i) to[i] = dequantise(from[i], by);
}

void quantise_all(const float* from, const Quantisation& by, std::uint8_t* to, std::int64_t count) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto inverse = hn::Set(d, 1.f / by.scale), most = hn::Set(d, 255.f), zero = hn::Zero(d),
             zero_point = hn::Set(d, static_cast<float>(by.zero_point));
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto y = hn::Add(hn::Mul(hn::LoadU(d, from + i), inverse), zero_point);
    // No number becomes 0.
    store_u8(d, hn::Min(most, hn::IfThenElseZero(hn::Gt(y, zero), y)), to + i);
  }
  for (; i < count; ++i) to[i] = quantise(from[i], by);
}

}  // namespace

Conversion conversions() { return {widen, narrow, dequantise_all, quantise_all}; }

}  // namespace HWY_NAMESPACE
}  // namespace atrous
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace atrous {

namespace {

// Rows of `from` to `to`, by what copies `count` elements.
template <class From, class To, class Copy>
void convert_rows(const BasicView<const From>& from, const BasicView<To>& to, int threads, Copy&& copy) {
  const Shape& s = from.shape;
  const bool dense = from.dense() && to.dense();
  parallel_for(threads, s.n * s.h, [&](std::int64_t row) {
    const std::int64_t n = row / s.h, y = row % s.h;
    if (dense) return copy(from.pixel(n, y, 0), to.pixel(n, y, 0), s.w * s.c);
    for (std::int64_t x = 0; x < s.w; ++x) copy(from.pixel(n, y, x), to.pixel(n, y, x), s.c);
  });
}

}  // namespace

Conversion conversions(Isa isa) { return ATROUS_FOR_ISA(isa, conversions)(); }

void convert_map(Isa isa, ConstAnyView from, AnyView to, int threads) {
  if (from.shape != to.shape)
    fail(ErrorCode::invalid_argument, "a map of ", from.shape, " into one of ", to.shape);
  const Conversion conversion = conversions(isa);
  const auto copy = [](const auto* values, auto* out, std::int64_t count) {
    std::copy_n(values, count, out);
  };
  if (from.dtype == DType::bf16 && to.dtype == DType::f32)
    convert_rows(from.as<Bf16>(), to.as<float>(), threads, conversion.widen);
  else if (from.dtype == DType::f32 && to.dtype == DType::bf16)
    convert_rows(from.as<float>(), to.as<Bf16>(), threads, conversion.narrow);
  else if (from.dtype == DType::u8 && to.dtype == DType::f32)
    convert_rows(from.as<std::uint8_t>(), to.as<float>(), threads,
                 [&](const std::uint8_t* values, float* out, std::int64_t count) {
                   conversion.dequantise(values, from.quantisation, out, count);
                 });
  else if (from.dtype == DType::f32 && to.dtype == DType::u8)
    convert_rows(from.as<float>(), to.as<std::uint8_t>(), threads,
                 [&](const float* values, std::uint8_t* out, std::int64_t count) {
                   conversion.quantise(values, to.quantisation, out, count);
                 });
  else if (from.dtype == DType::bf16)
    convert_rows(from.as<Bf16>(), to.as<Bf16>(), threads, copy);
  else
    convert_rows(from.as<float>(), to.as<float>(), threads, copy);
}

}  // namespace atrous
#endif
