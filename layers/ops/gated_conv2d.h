// GatedConv2d: a convolution of a map whose channels are first multiplied by a gate, one number per image and
// channel.
//
//   out = conv(in * gate)          gate: [n, 1, 1, channels of in]
//
// A squeeze-excitation and the projection behind the gate compute this. As one layer the gate may go into the
// weights, of which there are few, instead of into the map. Source: Hu, Shen & Sun 2018,
// "Squeeze-and-Excitation Networks".
#pragma once

#include "layers/ops/conv2d.h"

namespace atrous {

struct GatedConv2d {
  Conv2d conv;

  static constexpr std::string_view name = "gated_conv2d";
  Shape output_shape(Shapes in) const;  // in: the map, the gate, and the residual if there is one
  void run_reference(Views in, View out) const;
  std::int64_t macs(Shapes in) const;
  template <class Visit>
  void each_weight(Visit&& visit) {
    conv.each_weight(visit);
  }
};

// Error(invalid_argument) naming the shapes when they do not fit.
Shape output_shape(const GatedConv2d&, const Shape& in, const Shape& gate);
std::int64_t macs(const GatedConv2d&, const Shape& in);  // the convolution's

// `residual` is null or has out's shape.
void gated_conv2d_reference(const GatedConv2d&, ConstView in, ConstView gate, const ConstView* residual,
                            View out);

}  // namespace atrous
