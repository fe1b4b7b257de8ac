#include "layers/ops/conv_transpose2d.h"

#include <cmath>

#include "layers/base/checked.h"

namespace atrous {

void conv_transpose2d_reference(const ConvTranspose2d& layer, ConstView in, View out) {
  const Filter& w = layer.weight;
  const std::int64_t inputs_per_group = layer.in_channels() / layer.groups;
  // The input coordinate that tap k carries to output coordinate `to`, or -1.
  const auto source = [&](std::int64_t to, std::int64_t k, std::int64_t size) {
    const std::int64_t distance = to + layer.padding - k * layer.dilation;
    const bool hit = distance >= 0 && distance % layer.stride == 0 && distance / layer.stride < size;
    return hit ? distance / layer.stride : -1;
  };
  for (std::int64_t n = 0; n < out.shape.n; ++n)
    for (std::int64_t y = 0; y < out.shape.h; ++y)
      for (std::int64_t x = 0; x < out.shape.w; ++x) {
        for (std::int64_t o = 0; o < out.shape.c; ++o)
          out.at(n, y, x, o) = layer.bias ? layer.bias.get()[o] : 0.f;
        for (std::int64_t ky = 0; ky < w.kernel_h; ++ky) {
          const std::int64_t in_y = source(y, ky, in.shape.h);
          if (in_y < 0) continue;
          for (std::int64_t kx = 0; kx < w.kernel_w; ++kx) {
            const std::int64_t in_x = source(x, kx, in.shape.w);
            if (in_x < 0) continue;
            for (std::int64_t i = 0; i < in.shape.c; ++i) {
              const std::int64_t first_output = i / inputs_per_group * w.d1;
              for (std::int64_t o = 0; o < w.d1; ++o)
                out.at(n, y, x, first_output + o) += in.at(n, in_y, in_x, i) * w.at(i, o, ky, kx);
            }
          }
        }
      }
}

Shape output_shape(const ConvTranspose2d& layer, const Shape& in) {
  if (in.c != layer.in_channels())
    fail(ErrorCode::invalid_argument, "conv_transpose2d: expected ", layer.in_channels(),
         " input channels, found ", in.c);
  const auto extent = [&](std::int64_t size, std::int64_t kernel) {
    const std::int64_t spread = checked_multiply(size - 1, layer.stride, "conv_transpose2d: size");
    const std::int64_t result =
        checked_add(spread, layer.dilation * (kernel - 1) + layer.output_padding + 1 - 2 * layer.padding,
                    "conv_transpose2d: size");
    if (result < 1)
      fail(ErrorCode::invalid_argument, "conv_transpose2d: padding ", layer.padding,
           " leaves nothing of size ", size);
    return result;
  };
  return {in.n, extent(in.h, layer.weight.kernel_h), extent(in.w, layer.weight.kernel_w),
          layer.out_channels()};
}

std::int64_t macs(const ConvTranspose2d& layer, const Shape& in) {
  return checked_multiply(in.pixels(), layer.weight.elements(), "conv_transpose2d: multiply-accumulates");
}

ConvTranspose2d bilinear_upsampling(std::int64_t channels, std::int64_t factor) {
  if (factor < 2 || factor % 2 != 0)
    fail(ErrorCode::invalid_argument, "bilinear_upsampling: the factor must be even and positive, found ",
         factor);
  const std::int64_t side = 2 * factor;
  const std::int64_t count = checked_product({channels, side, side}, "bilinear_upsampling: weights");
  std::shared_ptr<float[]> values(new float[static_cast<std::size_t>(count)]);
  const auto triangle = [&](std::int64_t k) {
    const float centre = static_cast<float>(factor) - 0.5f;
    return 1.f - std::abs(static_cast<float>(k) - centre) / static_cast<float>(factor);
  };
  float* next = values.get();
  for (std::int64_t c = 0; c < channels; ++c)
    for (std::int64_t ky = 0; ky < side; ++ky)
      for (std::int64_t kx = 0; kx < side; ++kx) *next++ = triangle(ky) * triangle(kx);
  return {.weight = {channels, 1, side, side, {values, values.get()}},
          .bias = nullptr,
          .stride = factor,
          .padding = factor / 2,
          .groups = channels};
}

Shape ConvTranspose2d::output_shape(Shapes in) const { return atrous::output_shape(*this, in[0]); }

void ConvTranspose2d::run_reference(Views in, View out) const {
  conv_transpose2d_reference(*this, in[0], out);
}

std::int64_t ConvTranspose2d::macs(Shapes in) const { return atrous::macs(*this, in[0]); }

}  // namespace atrous
