#include "layers/ops/conv2d.h"

#include "layers/base/checked.h"

namespace atrous {

void conv2d_reference(const Conv2d& layer, ConstView in, const ConstView* residual, View out) {
  const Filter& w = layer.weight;
  const std::int64_t outputs_per_group = layer.out_channels() / layer.groups;
  for (std::int64_t n = 0; n < out.shape.n; ++n)
    for (std::int64_t y = 0; y < out.shape.h; ++y)
      for (std::int64_t x = 0; x < out.shape.w; ++x)
        for (std::int64_t o = 0; o < out.shape.c; ++o) {
          const std::int64_t first_input = o / outputs_per_group * w.d1;
          float sum = layer.bias ? layer.bias.get()[o] : 0.f;
          for (std::int64_t ky = 0; ky < w.kernel_h; ++ky) {
            const std::int64_t in_y = y * layer.stride - layer.padding + ky * layer.dilation;
            if (in_y < 0 || in_y >= in.shape.h) continue;
            for (std::int64_t kx = 0; kx < w.kernel_w; ++kx) {
              const std::int64_t in_x = x * layer.stride - layer.padding + kx * layer.dilation;
              if (in_x < 0 || in_x >= in.shape.w) continue;
              const float* pixel = in.pixel(n, in_y, in_x) + first_input;
              for (std::int64_t i = 0; i < w.d1; ++i) sum += pixel[i] * w.at(o, i, ky, kx);
            }
          }
          if (residual) sum += residual_pixel(*residual, n, y, x)[o];
          out.at(n, y, x, o) = activate(layer.activation, sum);
        }
}

Shape output_shape(const Conv2d& layer, const Shape& in) {
  if (in.c != layer.in_channels())
    fail(ErrorCode::invalid_argument, "conv2d: expected ", layer.in_channels(), " input channels, found ",
         in.c);
  if (layer.stride < 1 || layer.dilation < 1 || layer.padding < 0 || layer.groups < 1 ||
      layer.out_channels() % layer.groups != 0)
    fail(ErrorCode::invalid_argument, "conv2d: stride ", layer.stride, ", padding ", layer.padding,
         ", dilation ", layer.dilation, " and ", layer.groups, " groups of ", layer.out_channels(),
         " output channels make no layer");
  const auto extent = [&](std::int64_t size, std::int64_t kernel) {
    const std::int64_t padded = checked_add(size, 2 * layer.padding, "conv2d: padded size");
    const std::int64_t covered = layer.dilation * (kernel - 1) + 1;
    if (padded < covered)
      fail(ErrorCode::invalid_argument, "conv2d: a kernel that covers ", covered,
           " pixels does not fit into ", padded);
    return (padded - covered) / layer.stride + 1;
  };
  return {in.n, extent(in.h, layer.weight.kernel_h), extent(in.w, layer.weight.kernel_w),
          layer.out_channels()};
}

std::int64_t macs(const Conv2d& layer, const Shape& in) {
  return checked_multiply(output_shape(layer, in).pixels(), layer.weight.elements(),
                          "conv2d: multiply-accumulates");
}

Shape Conv2d::output_shape(Shapes in) const {
  const Shape out = atrous::output_shape(*this, in[0]);
  if (in.size() > 1) check_residual(in[1], out);
  return out;
}

void Conv2d::run_reference(Views in, View out) const {
  conv2d_reference(*this, in[0], in.size() > 1 ? &in[1] : nullptr, out);
}

std::int64_t Conv2d::macs(Shapes in) const { return atrous::macs(*this, in[0]); }

void check_residual(const Shape& residual, const Shape& out) {
  if (residual != out && residual != Shape{out.n, 1, 1, out.c})
    fail(ErrorCode::invalid_argument, "conv2d: expected a residual of ", out, " or of one pixel, found ",
         residual);
}

}  // namespace atrous
