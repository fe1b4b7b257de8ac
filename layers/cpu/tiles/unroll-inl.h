// Loops that are unrolled for certain, for kernel files: included once per Highway target.

#if defined(ATROUS_UNROLL_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef ATROUS_UNROLL_INL_H
#undef ATROUS_UNROLL_INL_H
#else
#define ATROUS_UNROLL_INL_H
#endif

#include <type_traits>
#include <utility>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace atrous {
namespace HWY_NAMESPACE {

// Calls f(0) .. f(n - 1), unrolled: only so do arrays of vectors stay in registers.
template <int... kI, class F>
HWY_INLINE void unroll(std::integer_sequence<int, kI...>, F&& f) {
  (f(std::integral_constant<int, kI>()), ...);
}

}  // namespace HWY_NAMESPACE
}  // namespace atrous
HWY_AFTER_NAMESPACE();

#endif
