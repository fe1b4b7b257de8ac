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
    // Highway's Exp wraps around beyond 104; exp(-100) is below every fp32 sum with 1.
    case ActivationKind::sigmoid:
      return hn::Div(one, hn::Add(one, hn::Exp(d, hn::Min(hn::Set(d, 100.f), hn::Neg(x)))));
  }
  return x;
}

}  // namespace HWY_NAMESPACE
}  // namespace atrous
HWY_AFTER_NAMESPACE();

#endif
