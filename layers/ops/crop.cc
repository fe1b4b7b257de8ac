#include "layers/ops/crop.h"

#include <algorithm>

#include "layers/base/error.h"

namespace atrous {

void crop_reference(const Crop& layer, ConstView in, View out) {
  for (std::int64_t n = 0; n < out.shape.n; ++n)
    for (std::int64_t y = 0; y < out.shape.h; ++y)
      for (std::int64_t x = 0; x < out.shape.w; ++x)
        std::copy_n(in.pixel(n, y + layer.top, x + layer.left), out.shape.c, out.pixel(n, y, x));
}

Shape Crop::output_shape(Shapes in) const {
  const Shape& map = in[0];
  const Shape& size = in[1];
  if (top < 0 || left < 0 || size.h > map.h - top || size.w > map.w - left)
    fail(ErrorCode::invalid_argument, "crop: ", size.h, " x ", size.w, " at row ", top, ", column ", left,
         " does not fit into ", map);
  return {map.n, size.h, size.w, map.c};
}

void Crop::run_reference(Views in, View out) const { crop_reference(*this, in[0], out); }

}  // namespace atrous
