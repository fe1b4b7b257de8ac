// Activations: a function of one number, applied to every element.
//
//   relu         max(x, 0)
//   relu6        min(max(x, 0), 6)
//   hardsigmoid  relu6(x + 3) / 6                 (MobileNetV3, Howard et al. 2019, section 5.2)
//   hardswish    x * relu6(x + 3) / 6             (the same)
//   sigmoid      1 / (1 + exp(-x))
//
// torch.nn.ReLU, ReLU6, Hardsigmoid, Hardswish, Sigmoid.
#pragma once

#include <string_view>

#include "layers/ops/layer.h"

namespace atrous {

enum class ActivationKind { none, relu, relu6, hardsigmoid, hardswish, sigmoid };
std::string_view name_of(ActivationKind);

struct Activation {
  ActivationKind kind = ActivationKind::relu;

  static constexpr std::string_view name = "activation";
  Shape output_shape(Shapes in) const;
  void run_reference(Views in, View out) const;
};

float activate(ActivationKind, float x);

// out may be in. Both have the same shape.
void activation_reference(const Activation&, ConstView in, View out);

}  // namespace atrous
