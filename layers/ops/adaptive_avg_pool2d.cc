#include "layers/ops/adaptive_avg_pool2d.h"

namespace atrous {

void adaptive_avg_pool2d_reference(const AdaptiveAvgPool2d&, ConstView in, View out) {
  const auto first = [](std::int64_t cell, std::int64_t size, std::int64_t cells) {
    return cell * size / cells;
  };
  const auto last = [](std::int64_t cell, std::int64_t size, std::int64_t cells) {
    return ((cell + 1) * size + cells - 1) / cells;
  };
  for (std::int64_t n = 0; n < out.shape.n; ++n)
    for (std::int64_t y = 0; y < out.shape.h; ++y)
      for (std::int64_t x = 0; x < out.shape.w; ++x) {
        const std::int64_t y0 = first(y, in.shape.h, out.shape.h), y1 = last(y, in.shape.h, out.shape.h);
        const std::int64_t x0 = first(x, in.shape.w, out.shape.w), x1 = last(x, in.shape.w, out.shape.w);
        for (std::int64_t c = 0; c < out.shape.c; ++c) {
          double sum = 0;
          for (std::int64_t in_y = y0; in_y < y1; ++in_y)
            for (std::int64_t in_x = x0; in_x < x1; ++in_x) sum += in.at(n, in_y, in_x, c);
          out.at(n, y, x, c) = static_cast<float>(sum / static_cast<double>((y1 - y0) * (x1 - x0)));
        }
      }
}

Shape output_shape(const AdaptiveAvgPool2d& layer, const Shape& in) {
  return {in.n, layer.out_h, layer.out_w, in.c};
}

Shape AdaptiveAvgPool2d::output_shape(Shapes in) const { return atrous::output_shape(*this, in[0]); }

void AdaptiveAvgPool2d::run_reference(Views in, View out) const {
  adaptive_avg_pool2d_reference(*this, in[0], out);
}

}  // namespace atrous
