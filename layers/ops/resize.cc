#include "layers/ops/resize.h"

#include <algorithm>
#include <vector>

namespace atrous {

void resize_reference(const Resize& layer, ConstView in, View out) {
  std::vector<ResizeTap> rows(static_cast<std::size_t>(out.shape.h)),
      columns(static_cast<std::size_t>(out.shape.w));
  resize_taps(layer, in.shape.h, rows);
  resize_taps(layer, in.shape.w, columns);
  for (std::int64_t n = 0; n < out.shape.n; ++n)
    for (std::int64_t y = 0; y < out.shape.h; ++y)
      for (std::int64_t x = 0; x < out.shape.w; ++x)
        for (std::int64_t c = 0; c < out.shape.c; ++c) {
          const ResizeTap& row = rows[static_cast<std::size_t>(y)];
          const ResizeTap& column = columns[static_cast<std::size_t>(x)];
          const float top = (1.f - column.f) * in.at(n, row.low, column.low, c) +
                            column.f * in.at(n, row.low, column.high, c);
          const float bottom = (1.f - column.f) * in.at(n, row.high, column.low, c) +
                               column.f * in.at(n, row.high, column.high, c);
          out.at(n, y, x, c) = (1.f - row.f) * top + row.f * bottom;
        }
}

void resize_taps(const Resize& layer, std::int64_t in_size, std::span<ResizeTap> taps) {
  const auto out_size = static_cast<std::int64_t>(taps.size());
  const auto place = [&](std::int64_t x) {
    if (layer.mode == ResizeMode::bilinear && layer.align_corners) {
      const float scale =
          out_size > 1 ? static_cast<float>(in_size - 1) / static_cast<float>(out_size - 1) : 0.f;
      return scale * static_cast<float>(x);
    }
    const float scale = static_cast<float>(in_size) / static_cast<float>(out_size);
    if (layer.mode == ResizeMode::nearest) return scale * static_cast<float>(x);
    return std::max(scale * (static_cast<float>(x) + 0.5f) - 0.5f, 0.f);
  };
  for (std::int64_t x = 0; x < out_size; ++x) {
    const float p = place(x);
    const std::int64_t low = std::min(static_cast<std::int64_t>(p), in_size - 1);
    const bool nearest = layer.mode == ResizeMode::nearest;
    taps[static_cast<std::size_t>(x)] = {low, nearest ? low : std::min(low + 1, in_size - 1),
                                         nearest ? 0.f : p - static_cast<float>(low)};
  }
}

}  // namespace atrous
