#include "layers/ops/filter.h"

namespace atrous {

std::shared_ptr<const float> dequantised(const Filter& w) {
  if (!w.quantised) return w.data;
  std::shared_ptr<float[]> floats(new float[static_cast<std::size_t>(w.elements())]);
  const std::int64_t per_output = w.d0 > 0 ? w.elements() / w.d0 : 0;
  for (std::int64_t o = 0; o < w.d0; ++o)
    for (std::int64_t i = o * per_output; i < (o + 1) * per_output; ++i)
      floats[i] = w.scale.get()[o] * static_cast<float>(w.quantised.get()[i]);
  return {floats, floats.get()};
}

}  // namespace atrous
