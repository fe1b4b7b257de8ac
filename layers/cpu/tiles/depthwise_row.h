// One row of a depthwise convolution along the channels: in NHWC neighbouring floats belong to neighbouring
// channels, so a vector of weights meets a vector of pixels. Some pixels side by side share every load of the
// weights, and their sums stay in registers over all taps; bias, residual and activation come before the one
// store.
#pragma once

#include <algorithm>
#include <cstddef>

#include "layers/base/tensor.h"
#include "layers/cpu/isa.h"
#include "layers/ops/conv2d.h"

namespace atrous {

struct DepthwiseRow {
  const Conv2d& layer;        // its weights are not read
  const float* weights;       // [kernel_h][kernel_w], weight_pitch floats apart, of `channels` floats
  std::int64_t weight_pitch;  // at least `channels`
  const float* bias;          // [channels]
  std::int64_t channels;

  const float* in;  // the picture from its row `first_row` on; those before it are not read
  std::int64_t in_pitch, first_row, in_height, in_width;
  const float* residual = nullptr;  // of the output row, or null
  std::int64_t residual_pitch = 0;
  float* out;  // the output row
  std::int64_t out_pitch, out_width;
  std::int64_t y;  // its number
};

using RunDepthwiseRow = void (*)(const DepthwiseRow&);
RunDepthwiseRow depthwise_row(Isa);

// The weights as [kernel_h][kernel_w][channels], and the biases, zeros where there are none.
struct PackedDepthwise {
  explicit PackedDepthwise(const Conv2d&);
  std::size_t bytes() const { return weights.values().size_bytes() + bias.values().size_bytes(); }

  Tensor weights, bias;
};

// The taps [first, last) of a kernel's row or column that lie inside the picture when it stands at output
// pixel `out`; first = last where none does.
struct TapRange {
  std::int64_t first, last;
};
inline TapRange taps_inside(const Conv2d& layer, std::int64_t taps, std::int64_t out, std::int64_t in_size) {
  const std::int64_t at = out * layer.stride - layer.padding;
  const auto taps_before = [&](std::int64_t end) {
    return end <= at ? 0 : std::min((end - at + layer.dilation - 1) / layer.dilation, taps);
  };
  return {taps_before(0), taps_before(in_size)};
}

}  // namespace atrous
