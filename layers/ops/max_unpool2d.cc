#include "layers/ops/max_unpool2d.h"

#include "layers/base/error.h"

namespace atrous {

void max_unpool2d_reference(const MaxUnpool2d& layer, ConstView in, ConstView before, View out) {
  for (std::int64_t p = 0; p < out.shape.pixels(); ++p)
    for (std::int64_t c = 0; c < out.shape.c; ++c) out.data[p * out.pitch + c] = 0;
  for (std::int64_t n = 0; n < in.shape.n; ++n)
    for (std::int64_t y = 0; y < in.shape.h; ++y)
      for (std::int64_t x = 0; x < in.shape.w; ++x)
        for (std::int64_t c = 0; c < in.shape.c; ++c) {
          const std::int64_t top = y * layer.kernel, left = x * layer.kernel;
          std::int64_t row = top, column = left;
          for (std::int64_t at_y = top; at_y < top + layer.kernel; ++at_y)
            for (std::int64_t at_x = left; at_x < left + layer.kernel; ++at_x)
              if (before.at(n, at_y, at_x, c) > before.at(n, row, column, c)) {
                row = at_y;
                column = at_x;
              }
          out.at(n, row, column, c) = in.at(n, y, x, c);
        }
}

Shape MaxUnpool2d::output_shape(Shapes in) const {
  const Shape& before = in[1];
  const Shape pooled{before.n, before.h / kernel, before.w / kernel, before.c};
  if (in[0] != pooled)
    fail(ErrorCode::invalid_argument, "max_unpool2d: expected ", pooled, ", what pools of ", kernel, " x ",
         kernel, " make of ", before, ", found ", in[0]);
  return before;
}

void MaxUnpool2d::run_reference(Views in, View out) const {
  max_unpool2d_reference(*this, in[0], in[1], out);
}

}  // namespace atrous
