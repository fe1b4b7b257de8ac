#include "layers/ops/softmax.h"

#include <algorithm>
#include <cmath>

namespace atrous {

void softmax_reference(const Softmax&, ConstView in, View out) {
  for (std::int64_t p = 0; p < in.shape.pixels(); ++p) {
    const float* logits = in.data + p * in.pitch;
    float* probabilities = out.data + p * out.pitch;
    const float largest = *std::max_element(logits, logits + in.shape.c);
    float sum = 0;
    for (std::int64_t c = 0; c < in.shape.c; ++c) sum += probabilities[c] = std::exp(logits[c] - largest);
    for (std::int64_t c = 0; c < in.shape.c; ++c) probabilities[c] /= sum;
  }
}

Shape Softmax::output_shape(Shapes in) const { return in[0]; }

void Softmax::run_reference(Views in, View out) const { softmax_reference(*this, in[0], out); }

}  // namespace atrous
