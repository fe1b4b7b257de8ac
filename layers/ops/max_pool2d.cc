#include "layers/ops/max_pool2d.h"

#include <algorithm>
#include <limits>

#include "layers/base/checked.h"

namespace atrous {

void max_pool2d_reference(const MaxPool2d& layer, ConstView in, View out) {
  for (std::int64_t n = 0; n < out.shape.n; ++n)
    for (std::int64_t y = 0; y < out.shape.h; ++y)
      for (std::int64_t x = 0; x < out.shape.w; ++x) {
        const std::int64_t top = y * layer.stride - layer.padding, left = x * layer.stride - layer.padding;
        for (std::int64_t c = 0; c < out.shape.c; ++c) {
          float largest = -std::numeric_limits<float>::infinity();
          for (std::int64_t in_y = std::max<std::int64_t>(top, 0);
               in_y < std::min(top + layer.kernel, in.shape.h); ++in_y)
            for (std::int64_t in_x = std::max<std::int64_t>(left, 0);
                 in_x < std::min(left + layer.kernel, in.shape.w); ++in_x)
              largest = std::max(largest, in.at(n, in_y, in_x, c));
          out.at(n, y, x, c) = largest;
        }
      }
}

Shape output_shape(const MaxPool2d& layer, const Shape& in) {
  if (2 * layer.padding > layer.kernel)
    fail(ErrorCode::invalid_argument, "max_pool2d: padding ", layer.padding, " is over half of the kernel ",
         layer.kernel);
  const auto extent = [&](std::int64_t size) {
    const std::int64_t padded = checked_add(size, 2 * layer.padding, "max_pool2d: padded size");
    if (padded < layer.kernel)
      fail(ErrorCode::invalid_argument, "max_pool2d: a kernel of ", layer.kernel, " does not fit into ",
           padded);
    if (!layer.ceil_mode) return (padded - layer.kernel) / layer.stride + 1;
    const std::int64_t windows = divide_up(padded - layer.kernel, layer.stride) + 1;
    return (windows - 1) * layer.stride < size + layer.padding ? windows : windows - 1;
  };
  return {in.n, extent(in.h), extent(in.w), in.c};
}

Shape MaxPool2d::output_shape(Shapes in) const { return atrous::output_shape(*this, in[0]); }

void MaxPool2d::run_reference(Views in, View out) const { max_pool2d_reference(*this, in[0], out); }

}  // namespace atrous
