// Conv2d: the convolution, and with dilation > 1 the atrous convolution this project is named after.
//
// Every output pixel looks at kernel_h x kernel_w input pixels (the taps), weighs each of their channels and
// sums:
//
//   out[n, y, x, o] = bias[o] + sum over ky, kx, i of
//                     in[n, y * stride - padding + ky * dilation, x * stride - padding + kx * dilation, i]
//                     * weight[o, i, ky, kx]
//
// A tap that falls outside the picture reads zero: that is what padding means.
//
// Dilation. An ordinary 3x3 kernel (dilation 1) sees 3x3 neighbouring pixels. With dilation d its nine taps
// move apart to every d-th pixel, leaving holes (French: trous) between them:
//
//   dilation 1        dilation 2
//   x x x . . .       x . x . x .
//   x x x . . .       . . . . . .
//   x x x . . .       x . x . x .
//   . . . . . .       . . . . . .
//   . . . . . .       x . x . x .
//
// The kernel now covers (k - 1) * d + 1 pixels a side with the same nine weights and the same work.
// Segmentation networks use this instead of striding: the map keeps its resolution while each pixel still
// sees a wide context. With padding = dilation a 3x3 kernel keeps the map's size.
//
// Groups. With groups = g, the input and output channels are cut into g equal parts and part j of the output
// sees only part j of the input. g = channels is the depthwise convolution.
//
// Source: torch.nn.Conv2d; Yu & Koltun 2016, "Multi-Scale Context Aggregation by Dilated Convolutions".
#pragma once

#include <memory>

#include "layers/base/tensor.h"
#include "layers/ops/activation.h"
#include "layers/ops/filter.h"
#include "layers/ops/layer.h"

namespace atrous {

struct Conv2d {
  Filter weight;                      // [out_channels, in_channels / groups, kernel_h, kernel_w]
  std::shared_ptr<const float> bias;  // [out_channels], or null for none
  std::int64_t stride = 1, padding = 0, dilation = 1, groups = 1;

  // What graph passes fuse behind the sum, in this order: the residual, when the node has a second input, is
  // added; then the activation is applied. The residual has the output's shape, or is 1x1 per image and
  // repeated over the map.
  ActivationKind activation = ActivationKind::none;

  Rounding rounding = Rounding::any;

  std::int64_t out_channels() const { return weight.d0; }
  std::int64_t in_channels() const { return weight.d1 * groups; }

  // A matrix product over pixels, and a filter for each channel on its own.
  bool is_pointwise() const { return is_padded_pointwise() && padding == 0; }
  bool is_padded_pointwise() const {
    return weight.kernel_h == 1 && weight.kernel_w == 1 && stride == 1 && groups == 1;
  }
  bool is_depthwise() const { return groups == in_channels() && groups == out_channels(); }

  static constexpr std::string_view name = "conv2d";
  Shape output_shape(Shapes in) const;  // in: the map, and the residual if there is one
  void run_reference(Views in, View out) const;
  std::int64_t macs(Shapes in) const;
  template <class Visit>
  void each_weight(Visit&& visit) {
    weight.each_weight(visit);
    if (bias) visit(bias, weight.d0);
  }
};

// h_out = floor((h + 2 * padding - dilation * (kernel_h - 1) - 1) / stride) + 1, and likewise for w.
// Error(invalid_argument) when the channels do not fit or the kernel does not fit into the padded input.
Shape output_shape(const Conv2d&, const Shape& in);

// Multiply-accumulates of the direct algorithm for this input, padding taps included.
std::int64_t macs(const Conv2d&, const Shape& in);

// Error(invalid_argument) for a residual that has neither the output's shape nor one pixel an image.
void check_residual(const Shape& residual, const Shape& out);

// The residual of output pixel (n, y, x).
inline const float* residual_pixel(const ConstView& residual, std::int64_t n, std::int64_t y,
                                   std::int64_t x) {
  const bool repeated = residual.shape.h == 1 && residual.shape.w == 1;
  return repeated ? residual.pixel(n, 0, 0) : residual.pixel(n, y, x);
}

// Likewise, of any element type, at channel c.
inline const std::byte* residual_at(const ConstAnyView& residual, std::int64_t n, std::int64_t y,
                                    std::int64_t x, std::int64_t c) {
  const bool repeated = residual.shape.h == 1 && residual.shape.w == 1;
  return repeated ? residual.at(n, 0, 0, c) : residual.at(n, y, x, c);
}

// Floats from there to that of the output's next pixel: 0 where one pixel is repeated. To the next image's,
// too, where the output is of single pixels as the residual is.
inline std::int64_t residual_pitch(const ConstView& residual, const Shape& out) {
  return residual.shape == out ? residual.pitch : 0;
}

// The definition above, in plain loops. `residual` is null or as above, and may be the same view as out.
void conv2d_reference(const Conv2d&, ConstView in, const ConstView* residual, View out);

}  // namespace atrous
