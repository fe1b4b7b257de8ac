#include "layers/ops/resize.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "layers/base/error.h"

namespace atrous {

void resize_reference(const Resize& layer, ConstView in, View out) {
  std::vector<ResizeTap> rows(static_cast<std::size_t>(out.shape.h)),
      columns(static_cast<std::size_t>(out.shape.w));
  resize_taps(layer, in.shape.h, rows);
  resize_taps(layer, in.shape.w, columns);
  resize_reference(in, rows, columns, out);
}

void resize_reference(ConstView in, std::span<const ResizeTap> rows, std::span<const ResizeTap> columns,
                      View out) {
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

float resize_ratio(const Resize& layer, std::int64_t in_size, double out_size) {
  if (layer.mode == ResizeMode::bilinear && layer.align_corners)
    return out_size > 1 ? static_cast<float>(in_size - 1) / static_cast<float>(out_size - 1) : 0.f;
  if (layer.factor > 0 && !layer.ratio_of_sizes) return static_cast<float>(1 / layer.factor);
  return static_cast<float>(in_size) / static_cast<float>(out_size);
}

void resize_taps(const Resize& layer, std::int64_t in_size, double out_size, std::span<ResizeTap> taps) {
  const bool nearest = layer.mode == ResizeMode::nearest, corners = !nearest && layer.align_corners;
  const float ratio = resize_ratio(layer, in_size, out_size);
  for (std::size_t x = 0; x < taps.size(); ++x) {
    const auto at = static_cast<float>(x);
    const float place = nearest || corners ? ratio * at : std::max(ratio * (at + 0.5f) - 0.5f, 0.f);
    const std::int64_t low = std::min(static_cast<std::int64_t>(place), in_size - 1);
    taps[x] = {low, nearest ? low : std::min(low + 1, in_size - 1),
               nearest ? 0.f : place - static_cast<float>(low)};
  }
}

void resize_taps(const Resize& layer, std::int64_t in_size, std::span<ResizeTap> taps) {
  resize_taps(layer, in_size, static_cast<double>(taps.size()), taps);
}

Shape Resize::output_shape(Shapes in) const {
  if (factor == 0) return {in[0].n, in[1].h, in[1].w, in[0].c};
  const auto extent = [&](std::int64_t size) {
    const double grown = of_steps ? std::floor(static_cast<double>(size - 1) * factor) + 1
                                  : std::floor(static_cast<double>(size) * factor);
    if (!(grown >= 1))
      fail(ErrorCode::invalid_argument, "resize: ", size, " times ", factor, " leaves no pixel");
    if (grown > 1e9) fail(ErrorCode::limit, "resize: ", size, " times ", factor, " pixels");
    return static_cast<std::int64_t>(grown);
  };
  return {in[0].n, extent(in[0].h), extent(in[0].w), in[0].c};
}

void Resize::run_reference(Views in, View out) const { resize_reference(*this, in[0], out); }

}  // namespace atrous
