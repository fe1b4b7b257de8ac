// ConvTranspose2d: the transposed ("fractionally strided", "up-") convolution.
//
// Where Conv2d gathers, this scatters: every input pixel adds its value times the kernel to the output,
// kernels of neighbouring pixels being `stride` apart:
//
//   out[n, y * stride - padding + ky * dilation, x * stride - padding + kx * dilation, o]
//       += in[n, y, x, i] * weight[i, o, ky, kx]        (contributions outside the output are dropped; bias
//       added once)
//
// With stride 8 a map grows eightfold. FCN (Long, Shelhamer & Darrell 2015, section 3.3) upsamples its logits
// so, with one kernel per class that starts as bilinear interpolation: see bilinear_kernel.
//
// Source: torch.nn.ConvTranspose2d.
#pragma once

#include "layers/base/tensor.h"
#include "layers/ops/activation.h"
#include "layers/ops/filter.h"
#include "layers/ops/layer.h"

namespace atrous {

struct ConvTranspose2d {
  Filter weight;                      // [in_channels, out_channels / groups, kernel_h, kernel_w]
  std::shared_ptr<const float> bias;  // [out_channels], or null for none
  std::int64_t stride = 1, padding = 0, output_padding = 0, dilation = 1, groups = 1;
  Rounding rounding = Rounding::any;

  std::int64_t in_channels() const { return weight.d0; }
  std::int64_t out_channels() const { return weight.d1 * groups; }

  static constexpr std::string_view name = "conv_transpose2d";
  Shape output_shape(Shapes in) const;
  void run_reference(Views in, View out) const;
  std::int64_t macs(Shapes in) const;
  template <class Visit>
  void each_weight(Visit&& visit) {
    visit(weight.data, weight.elements());
    if (bias) visit(bias, out_channels());
  }
};

// h_out = (h - 1) * stride - 2 * padding + dilation * (kernel_h - 1) + output_padding + 1, and likewise for
// w. Error(invalid_argument) when the channels do not fit or nothing is left.
Shape output_shape(const ConvTranspose2d&, const Shape& in);
std::int64_t macs(const ConvTranspose2d&, const Shape& in);

// Computed by gathering, so that each output is written once: output row Y receives input row y through tap
// ky where Y + padding - ky * dilation = y * stride.
void conv_transpose2d_reference(const ConvTranspose2d&, ConstView in, View out);

// FCN's initialisation: a depthwise transposed convolution (groups = channels, kernel 2 * factor, stride
// factor, padding factor / 2 for an even factor) whose kernel is the triangle (1 - |x - centre| / factor) in
// both directions. The layer upsamples by `factor`; away from the outer factor / 2 pixels it equals bilinear
// resizing with align_corners = false. Error(invalid_argument) unless factor is even and positive.
ConvTranspose2d bilinear_upsampling(std::int64_t channels, std::int64_t factor);

}  // namespace atrous
