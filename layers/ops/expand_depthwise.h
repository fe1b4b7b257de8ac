// ExpandDepthwise: the first two convolutions of an inverted residual as one layer, a 1x1 convolution to many
// channels and a depthwise one on these, each with its bias and activation.
//
//   out = depthwise(expand(in))
//
// As one layer a kernel may compute the wide map in between piece by piece, and never write it to memory
// whole. Source: Sandler et al. 2018, "MobileNetV2", section 5.1.
#pragma once

#include "layers/ops/conv2d.h"

namespace atrous {

struct ExpandDepthwise {
  Conv2d expand;     // 1x1, stride 1, ungrouped. Where padded, the border is what the layer makes of zeros
  Conv2d depthwise;  // groups = channels of both its input and its output

  static constexpr std::string_view name = "expand_depthwise";
  Shape output_shape(Shapes in) const;
  void run_reference(Views in, View out) const;
  std::int64_t macs(Shapes in) const;
  template <class Visit>
  void each_weight(Visit&& visit) {
    expand.each_weight(visit);
    depthwise.each_weight(visit);
  }
};

Shape output_shape(const ExpandDepthwise&, const Shape& in);
std::int64_t macs(const ExpandDepthwise&, const Shape& in);  // as in conv2d.h

// One after the other.
void expand_depthwise_reference(const ExpandDepthwise&, ConstView in, View out);

}  // namespace atrous
