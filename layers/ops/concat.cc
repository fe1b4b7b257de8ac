#include "layers/ops/concat.h"

#include <algorithm>

#include "layers/base/error.h"

namespace atrous {

void concat_reference(const Concat&, std::span<const ConstView> inputs, View out) {
  std::int64_t first = 0;
  for (const ConstView& in : inputs) {
    const View slice = channels(out, first, in.shape.c);
    for (std::int64_t p = 0; p < in.shape.pixels(); ++p)
      std::copy_n(in.data + p * in.pitch, in.shape.c, slice.data + p * slice.pitch);
    first += in.shape.c;
  }
}

Shape output_shape(const Concat&, std::span<const Shape> inputs) {
  Shape out = inputs.front();
  out.c = 0;
  for (const Shape& in : inputs) {
    if (in.n != out.n || in.h != out.h || in.w != out.w)
      fail(ErrorCode::invalid_argument, "concat: ", inputs.front(), " and ", in,
           " differ in more than channels");
    out.c += in.c;
  }
  return out;
}

Shape Concat::output_shape(Shapes in) const { return atrous::output_shape(*this, in); }

void Concat::run_reference(Views in, View out) const { concat_reference(*this, in, out); }

}  // namespace atrous
