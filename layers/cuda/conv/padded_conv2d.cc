#include "layers/cuda/conv/padded_conv2d.h"

#include <algorithm>
#include <array>
#include <vector>

#include "layers/base/checked.h"

namespace atrous::cuda {

namespace {

// [out, in / groups, kh, kw] -> [out padded, kh, kw, in / groups padded]
std::vector<float> channels_last(const Filter& w, std::int64_t out_padded, std::int64_t in_padded) {
  std::vector<float> packed(static_cast<std::size_t>(
      checked_product({out_padded, w.kernel_h, w.kernel_w, in_padded}, "cuda: weights")));
  float* to = packed.data();
  for (std::int64_t o = 0; o < w.d0; ++o)
    for (std::int64_t y = 0; y < w.kernel_h; ++y)
      for (std::int64_t x = 0; x < w.kernel_w; ++x, to += in_padded)
        for (std::int64_t i = 0; i < w.d1; ++i) to[i] = w.at(o, i, y, x);
  return packed;
}

bool is_packed_from(const Context::LastPacked& last, const Conv2d& conv) {
  return last.weight.lock() == conv.weight.data && last.bias.lock() == conv.bias &&
         last.shape == std::array{conv.weight.d0, conv.weight.d1, conv.weight.kernel_h, conv.weight.kernel_w};
}

}  // namespace

bool can_pack(const Conv2d& conv, Precision precision) {
  const std::int64_t in = conv.weight.d1, out = conv.out_channels() / conv.groups;
  return conv.groups == 1 || (device_pitch(in, precision) == in && device_pitch(out, precision) == out);
}

std::shared_ptr<const PaddedConv2d> pack(const Conv2d& conv, Context& context) {
  const std::lock_guard lock(context.planning);
  Context::LastPacked& last = context.last_packed;
  if (auto packed = last.packed.lock(); packed && is_packed_from(last, conv)) return packed;

  const Precision precision = context.precision();
  auto packed = std::make_shared<PaddedConv2d>();
  packed->in_channels = device_pitch(conv.in_channels(), precision);
  packed->out_channels = device_pitch(conv.out_channels(), precision);
  const std::int64_t group = conv.groups > 1 ? conv.weight.d1 : packed->in_channels;
  packed->weight = to_device(channels_last(conv.weight, packed->out_channels, group), precision);
  std::vector<float> bias(static_cast<std::size_t>(packed->out_channels));
  if (conv.bias) std::copy_n(conv.bias.get(), conv.out_channels(), bias.begin());
  packed->bias = to_device(bias, precision);
  packed->bias_fp32 = to_device(bias, Precision::fp32);
  last = {conv.weight.data,
          conv.bias,
          {conv.weight.d0, conv.weight.d1, conv.weight.kernel_h, conv.weight.kernel_w},
          packed};
  return packed;
}

Conv2d without_data(const Conv2d& conv) {
  Conv2d layer = conv;
  layer.weight.data = nullptr;
  layer.bias = nullptr;
  return layer;
}

}  // namespace atrous::cuda
