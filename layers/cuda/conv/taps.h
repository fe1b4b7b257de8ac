// resize_taps (layers/ops/resize.h) on the device: the same numbers to the bit, computed where they are
// needed. For .cu files only.
#pragma once

#include <cstdint>

#include "layers/cuda/launch.h"
#include "layers/ops/resize.h"

namespace atrous::cuda {

// How output coordinates along one dimension become input coordinates.
struct Taps {
  float scale = 0;
  int in_size = 0;
  bool nearest = false, corners = false;

  Taps() = default;
  Taps(const Resize& layer, int in, double out)
      : in_size(in), nearest(layer.mode == ResizeMode::nearest), corners(!nearest && layer.align_corners) {
    scale = resize_ratio(layer, in, out);
  }
};

struct Tap {
  int low, high;
  float f;
};

// Every product and sum rounded on its own: fused, the weights would differ from the processor's.
__device__ inline Tap tap_of(const Taps& taps, int x) {
  float place;
  if (taps.nearest || taps.corners)
    place = __fmul_rn(taps.scale, static_cast<float>(x));
  else
    place = fmaxf(__fsub_rn(__fmul_rn(taps.scale, __fadd_rn(static_cast<float>(x), 0.5f)), 0.5f), 0.f);
  const int last = taps.in_size - 1;
  const int low = min(static_cast<int>(place), last);
  if (taps.nearest) return {low, low, 0.f};
  return {low, min(low + 1, last), __fsub_rn(place, static_cast<float>(low))};
}

// (1 - f) * low + f * high, rounded three times.
__device__ inline float blended(float low, float high, float f) {
  return __fadd_rn(__fmul_rn(__fsub_rn(1.f, f), low), __fmul_rn(f, high));
}

}  // namespace atrous::cuda
