#include "layers/ops/quantised_conv2d.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "layers/base/error.h"

namespace atrous {

namespace {

bool is_limit(ActivationKind kind) {
  return kind == ActivationKind::none || kind == ActivationKind::relu || kind == ActivationKind::relu6;
}

MapType type_of(const ConstAnyView& map) { return {map.dtype, map.quantisation}; }

// Of a map in 8 bits an element, of one in fp32 what that becomes.
std::int32_t byte_at(const ConstAnyView& in, std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t c) {
  const std::byte* at = in.at(n, y, x, c);
  return in.dtype == DType::u8 ? std::to_integer<std::uint8_t>(*at)
                               : quantise(*reinterpret_cast<const float*>(at), in.quantisation);
}

std::int32_t sum_of_taps(const Conv2d& layer, const ConstAnyView& in, std::int64_t n, std::int64_t y,
                         std::int64_t x, std::int64_t o) {
  const Filter& w = layer.weight;
  const std::int64_t first_input = o / (layer.out_channels() / layer.groups) * w.d1;
  std::int32_t sum = 0;
  for (std::int64_t ky = 0; ky < w.kernel_h; ++ky)
    for (std::int64_t kx = 0; kx < w.kernel_w; ++kx) {
      const std::int64_t in_y = y * layer.stride - layer.padding + ky * layer.dilation,
                         in_x = x * layer.stride - layer.padding + kx * layer.dilation;
      if (in_y < 0 || in_y >= in.shape.h || in_x < 0 || in_x >= in.shape.w) continue;
      const std::int8_t* weight = w.quantised.get() + o * w.d1 * w.kernel_h * w.kernel_w;
      for (std::int64_t i = 0; i < w.d1; ++i)
        sum += (byte_at(in, n, in_y, in_x, first_input + i) - in.quantisation.zero_point) *
               weight[(i * w.kernel_h + ky) * w.kernel_w + kx];
    }
  return sum;
}

}  // namespace

Requantisation requantisation(const Conv2d& layer, const MapType& in, const MapType* residual,
                              const MapType& out) {
  const bool to_u8 = out.dtype == DType::u8, residual_u8 = residual && residual->dtype == DType::u8;
  const double step = to_u8 ? static_cast<double>(out.quantisation.scale) : 1;
  const double zero = out.quantisation.zero_point;
  Requantisation r{.in_steps = to_u8 && is_limit(layer.activation)};
  const double unit = r.in_steps ? step : 1;
  // What the residual's zero point adds is taken off the offset.
  const double residual_scale = residual_u8 ? static_cast<double>(residual->quantisation.scale) : 1;
  const double residual_zero = residual_u8 ? residual_scale * residual->quantisation.zero_point : 0;
  r.residual_factor = static_cast<float>(residual_scale / unit);
  for (std::int64_t o = 0; o < layer.out_channels(); ++o) {
    const double scale =
        static_cast<double>(layer.weight.scale.get()[o]) * static_cast<double>(in.quantisation.scale);
    const double bias = layer.bias ? static_cast<double>(layer.bias.get()[o]) : 0;
    r.factor.push_back(static_cast<float>(scale / unit));
    r.offset.push_back(static_cast<float>((bias - residual_zero) / unit + (r.in_steps ? zero : 0)));
  }
  if (r.in_steps) {
    if (layer.activation != ActivationKind::none) r.lowest = static_cast<float>(zero);
    if (layer.activation == ActivationKind::relu6)
      r.highest = static_cast<float>(std::min(255., std::nearbyint(6 / step + zero)));
  } else if (to_u8) {
    r.inverse = 1.f / out.quantisation.scale;
    r.zero_point = static_cast<float>(out.quantisation.zero_point);
  }
  return r;
}

float activate_in_fp32(ActivationKind kind, float x) {
  if (kind == ActivationKind::sigmoid)
    fail(ErrorCode::invalid_argument, "conv2d: a sigmoid of a quantised sum");
  if (kind != ActivationKind::hardsigmoid && kind != ActivationKind::hardswish) return activate(kind, x);
  const float inner = std::min(std::max(x + 3.f, 0.f), 6.f);
  return (kind == ActivationKind::hardswish ? x * inner : inner) * (1.f / 6);
}

bool sums_fit(const Conv2d& layer) {
  constexpr std::int64_t largest_product = 255 * 128;
  const Filter& w = layer.weight;
  return w.d1 * w.kernel_h * w.kernel_w <= std::numeric_limits<std::int32_t>::max() / largest_product;
}

void quantised_conv2d_reference(const Conv2d& layer, const ConstAnyView& in, const ConstAnyView* residual,
                                const AnyView& out) {
  const MapType in_type = type_of(in), out_type = type_of(out),
                residual_type = residual ? type_of(*residual) : MapType{};
  const Requantisation r = requantisation(layer, in_type, residual ? &residual_type : nullptr, out_type);
  for (std::int64_t n = 0; n < out.shape.n; ++n)
    for (std::int64_t y = 0; y < out.shape.h; ++y)
      for (std::int64_t x = 0; x < out.shape.w; ++x)
        for (std::int64_t o = 0; o < out.shape.c; ++o) {
          const auto at = static_cast<std::size_t>(o);
          const std::int32_t sum = sum_of_taps(layer, in, n, y, x, o);
          float value = static_cast<float>(sum) * r.factor[at];
          value += r.offset[at];
          if (residual) {
            const std::byte* from = residual_at(*residual, n, y, x, o);
            const float other = residual->dtype == DType::u8
                                    ? static_cast<float>(std::to_integer<std::uint8_t>(*from))
                                    : *reinterpret_cast<const float*>(from);
            const float product = other * r.residual_factor;
            value += product;
          }
          std::byte* to = out.at(n, y, x, o);
          if (r.in_steps)
            *to = static_cast<std::byte>(std::nearbyint(std::min(r.highest, std::max(r.lowest, value))));
          else if (out.dtype == DType::u8)
            *to =
                static_cast<std::byte>(quantise(activate_in_fp32(layer.activation, value), out.quantisation));
          else
            *reinterpret_cast<float*>(to) = activate_in_fp32(layer.activation, value);
        }
}

}  // namespace atrous
