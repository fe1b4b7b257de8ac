// Activations on vectors, for kernel files: included once per Highway target.

#if defined(ATROUS_ACTIVATION_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef ATROUS_ACTIVATION_INL_H
#undef ATROUS_ACTIVATION_INL_H
#else
#define ATROUS_ACTIVATION_INL_H
#endif

#include <cstddef>
#include <type_traits>

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"
#include "layers/ops/activation.h"

HWY_BEFORE_NAMESPACE();
namespace atrous {
namespace HWY_NAMESPACE {

// Too long to be repeated wherever a vector is activated. Highway's Exp wraps around beyond 104; exp(-100) is
// below every fp32 sum with 1.
template <class D, class V = hwy::HWY_NAMESPACE::Vec<D>>
HWY_NOINLINE V sigmoid(D d, V x) {
  namespace hn = hwy::HWY_NAMESPACE;
  const V one = hn::Set(d, 1.f);
  return hn::Div(one, hn::Add(one, hn::Exp(d, hn::Min(hn::Set(d, 100.f), hn::Neg(x)))));
}

template <class D, class V = hwy::HWY_NAMESPACE::Vec<D>>
HWY_INLINE V activate(D d, ActivationKind kind, V x) {
  namespace hn = hwy::HWY_NAMESPACE;
  const V zero = hn::Zero(d), three = hn::Set(d, 3.f), six = hn::Set(d, 6.f);
  const V sixth = hn::Set(d, 1.f / 6);  // a division takes several times as long, and differs in the last bit
  switch (kind) {
    case ActivationKind::none:
      return x;
    // The constant comes first: then a NaN in x stays one, on x86 too.
    case ActivationKind::relu:
      return hn::Max(zero, x);
    case ActivationKind::relu6:
      return hn::Min(six, hn::Max(zero, x));
    case ActivationKind::hardsigmoid:
      return hn::Mul(hn::Min(six, hn::Max(zero, hn::Add(x, three))), sixth);
    case ActivationKind::hardswish:
      return hn::Mul(hn::Mul(x, hn::Min(six, hn::Max(zero, hn::Add(x, three)))), sixth);
    case ActivationKind::sigmoid:
      return sigmoid(d, x);
  }
  return x;
}

// The same for an array of vectors, of constant size so that they stay in registers: one decision for all.
template <std::size_t kCount, class D, class V>
HWY_INLINE void activate_all(D d, ActivationKind kind, V (&x)[kCount]) {
  const auto apply = [&](auto constant) HWY_ATTR {
    HWY_UNROLL(32)
    for (std::size_t i = 0; i < kCount; ++i) x[i] = activate(d, constant.value, x[i]);
  };
  using enum ActivationKind;
  switch (kind) {
    case none:
      return;
    case relu:
      return apply(std::integral_constant<ActivationKind, relu>());
    case relu6:
      return apply(std::integral_constant<ActivationKind, relu6>());
    case hardsigmoid:
      return apply(std::integral_constant<ActivationKind, hardsigmoid>());
    case hardswish:
      return apply(std::integral_constant<ActivationKind, hardswish>());
    case sigmoid:
      return apply(std::integral_constant<ActivationKind, sigmoid>());
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace atrous
HWY_AFTER_NAMESPACE();

#endif
