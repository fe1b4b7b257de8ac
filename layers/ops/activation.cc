#include "layers/ops/activation.h"

#include <algorithm>
#include <cmath>

namespace atrous {

float activate(ActivationKind kind, float x) {
  const auto relu6 = [](float v) { return std::min(std::max(v, 0.f), 6.f); };
  switch (kind) {
    case ActivationKind::none:
      return x;
    case ActivationKind::relu:
      return std::max(x, 0.f);
    case ActivationKind::relu6:
      return relu6(x);
    case ActivationKind::hardsigmoid:
      return relu6(x + 3.f) / 6.f;
    case ActivationKind::hardswish:
      return x * relu6(x + 3.f) / 6.f;
    case ActivationKind::sigmoid:
      return 1.f / (1.f + std::exp(-x));
  }
  return x;
}

void activation_reference(const Activation& layer, ConstView in, View out) {
  for (std::int64_t p = 0; p < in.shape.pixels(); ++p)
    for (std::int64_t c = 0; c < in.shape.c; ++c)
      out.data[p * out.pitch + c] = activate(layer.kind, in.data[p * in.pitch + c]);
}

std::string_view name_of(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::none:
      return "none";
    case ActivationKind::relu:
      return "relu";
    case ActivationKind::relu6:
      return "relu6";
    case ActivationKind::hardsigmoid:
      return "hardsigmoid";
    case ActivationKind::hardswish:
      return "hardswish";
    case ActivationKind::sigmoid:
      return "sigmoid";
  }
  return "?";
}

Shape Activation::output_shape(Shapes in) const { return in[0]; }

void Activation::run_reference(Views in, View out) const { activation_reference(*this, in[0], out); }

}  // namespace atrous
