// Activations on vectors, for kernel files: included once per Highway target.

#if defined(ATROUS_ACTIVATION_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef ATROUS_ACTIVATION_INL_H
#undef ATROUS_ACTIVATION_INL_H
#else
#define ATROUS_ACTIVATION_INL_H
#endif

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"
#include "layers/activation.h"

HWY_BEFORE_NAMESPACE();
namespace atrous {
namespace HWY_NAMESPACE {

template <class D, class V = hwy::HWY_NAMESPACE::Vec<D>>
HWY_INLINE V activate(D d, ActivationKind kind, V x) {
  namespace hn = hwy::HWY_NAMESPACE;
  const V zero = hn::Zero(d), one = hn::Set(d, 1.f), three = hn::Set(d, 3.f), six = hn::Set(d, 6.f);
  switch (kind) {
    case ActivationKind::none:
      return x;
    case ActivationKind::relu:
      return hn::Max(x, zero);
    case ActivationKind::relu6:
      return hn::Min(hn::Max(x, zero), six);
    case ActivationKind::hardsigmoid:
      return hn::Div(hn::Min(hn::Max(hn::Add(x, three), zero), six), six);
    case ActivationKind::hardswish:
      return hn::Div(hn::Mul(x, hn::Min(hn::Max(hn::Add(x, three), zero), six)), six);
    case ActivationKind::sigmoid:
      return hn::Div(one, hn::Add(one, hn::Exp(d, hn::Neg(x))));
  }
  return x;
}

}  // namespace HWY_NAMESPACE
}  // namespace atrous
HWY_AFTER_NAMESPACE();

#endif
