// Encoding: how far the pixels of a map lie from learnt codewords, one vector an image.
//
//   d[i, k] = ||x[i] - codeword[k]||^2                          over the channels, for each pixel i
//   a[i, :] = softmax over k of smoothing[k] * d[i, k]          to which codeword a pixel belongs
//   e[k, :] = sum over pixels i of a[i, k] * (x[i] - codeword[k])
//   out     = mean over k of max(scale[k] * e[k, :] + shift[k], 0)
//
// The last line is a batch norm whose channels are the codewords, a relu and a mean. The smoothing factors
// are added with a plus sign, as the publisher's code has it: trained ones are negative. Distances are summed
// as squares of differences, since the expanded square loses what matters where features are large.
//
// Source: Zhang et al. 2018, "Context Encoding for Semantic Segmentation", section 3.1;
// encoding/nn/encoding.py and encoding/models/sseg/encnet.py of PyTorch-Encoding.
#pragma once

#include "layers/ops/layer.h"

namespace atrous {

struct Encoding {
  std::int64_t codewords = 0, channels = 0;
  Weights codeword;      // [codewords, channels]
  Weights smoothing;     // [codewords]
  Weights scale, shift;  // [codewords], of the batch norm

  static constexpr std::string_view name = "encoding";
  Shape output_shape(Shapes in) const;  // [n, 1, 1, channels]. Error(invalid_argument) for other channels
  void run_reference(Views in, View out) const;
  std::int64_t macs(Shapes in) const;  // two for each pixel, codeword and channel
  template <class Visit>
  void each_weight(Visit&& visit) {
    visit(codeword, codewords * channels);
    visit(smoothing, codewords);
    visit(scale, codewords);
    visit(shift, codewords);
  }
};

// Sums over pixels in double.
void encoding_reference(const Encoding&, ConstView in, View out);

}  // namespace atrous
