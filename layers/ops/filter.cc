#include "layers/ops/filter.h"

namespace atrous {

std::shared_ptr<const float> dequantised(const Filter& w) {
  if (!w.quantised) return w.data;
  std::shared_ptr<float[]> floats(new float[static_cast<std::size_t>(w.elements())]);
  const std::int64_t taps = w.kernel_h * w.kernel_w;
  for (std::int64_t o = 0; o < w.d0; ++o)
    for (std::int64_t i = 0; i < w.d1; ++i) {
      const float divisor = w.equalisation ? w.equalisation.get()[w.d1 == 1 ? o : i] : 1;
      for (std::int64_t at = (o * w.d1 + i) * taps; at < (o * w.d1 + i + 1) * taps; ++at)
        floats[at] = w.scale.get()[o] * static_cast<float>(w.quantised.get()[at]) / divisor;
    }
  return {floats, floats.get()};
}

}  // namespace atrous
