// What the tests of the convolution kernels share: a convolution with everything it reads, drawn.
#pragma once

#include <vector>

#include "layers/ops/conv2d.h"
#include "tests/support/layers_testing.h"

namespace atrous {

struct DrawnConv2d {
  Conv2d layer;
  Slice in, residual;
  std::vector<ConstView> inputs;
  Shape out;
};

// Which of the optional inputs there are, and strange channels before and after those of input and residual.
struct Drawing {
  bool bias = true, residual = false;
  std::int64_t before_in = 0, after_in = 0, before_residual = 0, after_residual = 0;
  std::uint64_t seed = 1;
};

// `layer` says everything but the values.
inline DrawnConv2d draw_convolution(Conv2d layer, const Shape& in, const Drawing& d, Draw draw_inputs,
                                    Draw draw_weights) {
  Random random(d.seed);
  layer.weight.data = drawn(layer.weight.elements(), random, draw_weights);
  if (d.bias) layer.bias = drawn(layer.out_channels(), random, draw_weights);
  const Shape out = output_shape(layer, in);
  DrawnConv2d s{
      layer, Slice(in, d.before_in, d.after_in), Slice(out, d.before_residual, d.after_residual), {}, out};
  fill(s.in.view(), random, draw_inputs);
  fill(s.residual.view(), random, draw_weights);
  s.inputs.push_back(s.in.view());
  if (d.residual) s.inputs.push_back(s.residual.view());
  return s;
}

inline Tensor by_reference(const DrawnConv2d& s) {
  Tensor expected(s.out);
  conv2d_reference(s.layer, s.inputs[0], s.inputs.size() > 1 ? &s.inputs[1] : nullptr, expected.view());
  return expected;
}

}  // namespace atrous
