// Unsigned bytes as fp32 vectors and back, for kernel files: included once per Highway target.

#if defined(ATROUS_U8_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef ATROUS_U8_INL_H
#undef ATROUS_U8_INL_H
#else
#define ATROUS_U8_INL_H
#endif

#include <algorithm>
#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace atrous {
namespace HWY_NAMESPACE {

// As many bytes as D has floats.
template <class D>
HWY_INLINE hwy::HWY_NAMESPACE::Vec<D> load_u8(D d, const std::uint8_t* from) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::Rebind<std::int32_t, D> wide;
  const hn::Rebind<std::uint8_t, D> narrow;
  return hn::ConvertTo(d, hn::PromoteTo(wide, hn::LoadU(narrow, from)));
}

// Rounded to nearest, ties to even; of 0 to 255.
template <class D, class V = hwy::HWY_NAMESPACE::Vec<D>>
HWY_INLINE void store_u8(D, V value, std::uint8_t* to) {
  namespace hn = hwy::HWY_NAMESPACE;
#if HWY_TARGET == HWY_AVX3
  // Highway looks for overflow, which these numbers do not have, and narrows in four steps.
  if constexpr (hn::MaxLanes(D()) == 16) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(value.raw)));
    return;
  }
#endif
  const hn::Rebind<std::uint8_t, D> narrow;
  hn::StoreU(hn::DemoteTo(narrow, hn::NearestInt(value)), narrow, to);
}

// The first `count` of a vector, at least one.
template <class D>
HWY_INLINE hwy::HWY_NAMESPACE::Vec<D> load_u8_first(D d, const std::uint8_t* from, std::int64_t count) {
  namespace hn = hwy::HWY_NAMESPACE;
  if (count >= static_cast<std::int64_t>(hn::Lanes(d))) return load_u8(d, from);
  HWY_ALIGN std::uint8_t copy[hn::MaxLanes(d)] = {};
  std::copy_n(from, count, copy);
  return load_u8(d, copy);
}
template <class D, class V = hwy::HWY_NAMESPACE::Vec<D>>
HWY_INLINE void store_u8_first(D d, V value, std::uint8_t* to, std::int64_t count) {
  namespace hn = hwy::HWY_NAMESPACE;
  if (count >= static_cast<std::int64_t>(hn::Lanes(d))) return store_u8(d, value, to);
  HWY_ALIGN std::uint8_t copy[hn::MaxLanes(d)];
  store_u8(d, value, copy);
  std::copy_n(copy, count, to);
}

}  // namespace HWY_NAMESPACE
}  // namespace atrous
HWY_AFTER_NAMESPACE();

#endif
