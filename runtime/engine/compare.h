// Two networks, or one on two back ends, compared layer by layer on the same input.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "layers/base/public.h"
#include "layers/base/tensor.h"
#include "runtime/engine/session.h"

namespace ATROUS_PUBLIC atrous {

// Over all elements, a the one examined and b the reference:
//   max_abs    max |a - b|
//   relative   max_abs / max |b|
//   cosine     sum a b / sqrt(sum a^2 sum b^2)
// Where both are zeros throughout, relative is 0 and cosine 1; where a value is not finite on one side only,
// or is NaN, max_abs and relative are infinite.
struct Difference {
  double max_abs = 0, relative = 0, cosine = 1;
};

// Error(mismatch) with both shapes when they differ.
Difference difference(ConstView a, ConstView reference);

// Where values overflow. Runs the network on the input and returns the first layer, in the order they run,
// whose output is not finite throughout: "backbone.layer1.0.conv1 (conv2d)". Empty where all are.
std::string first_not_finite(Session&, ConstView input);

struct LayerDifference {
  std::string node;        // "backbone.layer1.0.conv1"
  std::string_view layer;  // "conv2d"
  Shape shape;
  Difference difference;
};

// Runs both on the input and compares what each layer gives, in the order they run. The layers are those of
// the optimised graph: a convolution with its batch normalisation and activation is one. Error(mismatch)
// naming the first layer that differs in kind, name or shape when the networks are not of one architecture.
std::vector<LayerDifference> compare_layers(Session& examined, Session& reference, ConstView input);

}  // namespace atrous
