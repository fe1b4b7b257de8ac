#include "layers/base/quantisation.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "layers/base/error.h"

namespace atrous {

Quantisation quantisation_of(const ValueRange& range) {
  if (!std::isfinite(range.lowest) || !std::isfinite(range.highest) || range.highest < range.lowest)
    fail(ErrorCode::invalid_argument, "a range from ", range.lowest, " to ", range.highest);
  const double lowest = std::min(0.f, range.lowest), highest = std::max(0.f, range.highest);
  // Of a map of zeros any scale is right; so small a one has no inverse.
  const double scale = (highest - lowest) / 255;
  if (scale < static_cast<double>(std::numeric_limits<float>::min())) return {};
  return {static_cast<float>(scale), static_cast<std::int32_t>(std::nearbyint(-lowest / scale))};
}

std::uint8_t quantise(float x, const Quantisation& by) {
  const float y = x * (1.f / by.scale) + static_cast<float>(by.zero_point);
  if (!(y > 0)) return 0;
  return static_cast<std::uint8_t>(std::nearbyint(std::min(y, 255.f)));
}

}  // namespace atrous
