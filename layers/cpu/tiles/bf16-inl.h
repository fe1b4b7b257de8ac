// bfloat16 to fp32 vectors and back, for kernel files: included once per Highway target.

#if defined(ATROUS_BF16_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef ATROUS_BF16_INL_H
#undef ATROUS_BF16_INL_H
#else
#define ATROUS_BF16_INL_H
#endif

#include <algorithm>
#include <cstdint>

#include "hwy/highway.h"
#include "layers/base/dtype.h"

HWY_BEFORE_NAMESPACE();
namespace atrous {
namespace HWY_NAMESPACE {

// As many bfloat16 as D has floats.
template <class D>
HWY_INLINE hwy::HWY_NAMESPACE::Vec<D> load_bf16(D d, const Bf16* from) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::Rebind<std::uint32_t, D> wide;
  const hn::Rebind<std::uint16_t, D> narrow;
  const auto bits = hn::LoadU(narrow, reinterpret_cast<const std::uint16_t*>(from));
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(wide, bits)));
}

// Rounded as to_bf16() (dtype.h).
template <class D, class V = hwy::HWY_NAMESPACE::Vec<D>>
HWY_INLINE void store_bf16(D, V value, Bf16* to) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::Rebind<std::uint32_t, D> wide;
  const hn::Rebind<std::int32_t, D> as_signed;
  const hn::Rebind<std::uint16_t, D> narrow;
  const auto bits = hn::BitCast(wide, value);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(wide, 1U));
  const auto rounded = hn::Add(hn::Add(bits, hn::Set(wide, 0x7fffU)), odd);
  const auto quiet = hn::Or(bits, hn::Set(wide, 0x400000U));
  const auto is_nan = hn::RebindMask(wide, hn::IsNaN(value));
  const auto high = hn::ShiftRight<16>(hn::IfThenElse(is_nan, quiet, rounded));
  hn::StoreU(hn::DemoteTo(narrow, hn::BitCast(as_signed, high)), narrow,
             reinterpret_cast<std::uint16_t*>(to));
}

// The first `count` of a vector, at least one.
template <class D>
HWY_INLINE hwy::HWY_NAMESPACE::Vec<D> load_bf16_first(D d, const Bf16* from, std::int64_t count) {
  namespace hn = hwy::HWY_NAMESPACE;
  if (count >= static_cast<std::int64_t>(hn::Lanes(d))) return load_bf16(d, from);
  HWY_ALIGN Bf16 copy[hn::MaxLanes(d)] = {};
  std::copy_n(from, count, copy);
  return load_bf16(d, copy);
}
template <class D, class V = hwy::HWY_NAMESPACE::Vec<D>>
HWY_INLINE void store_bf16_first(D d, V value, Bf16* to, std::int64_t count) {
  namespace hn = hwy::HWY_NAMESPACE;
  if (count >= static_cast<std::int64_t>(hn::Lanes(d))) return store_bf16(d, value, to);
  HWY_ALIGN Bf16 copy[hn::MaxLanes(d)];
  store_bf16(d, value, copy);
  std::copy_n(copy, count, to);
}

}  // namespace HWY_NAMESPACE
}  // namespace atrous
HWY_AFTER_NAMESPACE();

#endif
