// DoubledConv2d: a map grown to twice its size, each pixel repeated, and a 3x3 convolution of it as one layer
// ("resize-convolution": Odena, Dumoulin & Olah 2016, "Deconvolution and Checkerboard Artifacts").
//
//   out = conv(resize(in))          resize: nearest, by a factor of 2
//
// The nine taps of an output pixel read only four pixels of `in`. Which ones depends on whether its row and
// its column are even: so for each of these four phases it is a 2x2 convolution of `in`, whose weights are
// sums of the nine.
#pragma once

#include "layers/ops/conv2d.h"

namespace atrous {

struct DoubledConv2d {
  Conv2d conv;  // 3x3, stride 1, padding 1, undilated, ungrouped

  static constexpr std::string_view name = "doubled_conv2d";
  Shape output_shape(Shapes in) const;
  void run_reference(Views in, View out) const;  // one after the other
  std::int64_t macs(Shapes in) const;            // the convolution's, of the grown map
  template <class Visit>
  void each_weight(Visit&& visit) {
    conv.each_weight(visit);
  }
};

}  // namespace atrous
