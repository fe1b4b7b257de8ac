// PositionAttention: every pixel becomes a mixture of all pixels of its image, after how well it fits them.
//
//   fit[i, j] = sum over k of query[i, k] * key[j, k]         for the pixels i and j of an image
//   share     = softmax of fit over all pairs (i, j) at once
//   mixed[i, c] = sum over j of share[i, j] * value[j, c]
//   out       = the numbers of mixed in their order, pixel by pixel, read as channels x height x width
//
// The softmax over all pairs and the last line, which does not transpose but reads on, are the publisher's:
// networks are trained with both. Inputs in this order: query (center_conv), key (top_conv), value
// (bottom_conv).
//
// Source: PAB of segmentation_models.pytorch (decoders/manet/decoder.py) after Fan et al. 2020, "MA-Net".
#pragma once

#include "layers/ops/layer.h"

namespace atrous {

struct PositionAttention {
  static constexpr std::string_view name = "position_attention";
  // The value's. Error(invalid_argument) where the three maps have not the same size, or query and key not
  // the same channels; Error(limit) on overflow.
  Shape output_shape(Shapes in) const;
  void run_reference(Views in, View out) const;
};

// Holds no matrix of pairs: fit is computed twice, first for the largest of it. Sums of the mixture in
// double.
void position_attention_reference(const PositionAttention&, ConstView query, ConstView key, ConstView value,
                                  View out);

}  // namespace atrous
