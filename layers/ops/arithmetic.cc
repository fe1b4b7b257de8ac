#include "layers/ops/arithmetic.h"

#include <algorithm>

#include "layers/base/error.h"

namespace atrous {

namespace {

// b is walked through as Repeated says, image by image.
template <class Operation>
void combine(ConstView a, ConstView b, View out, Operation operation) {
  const Repeated step = repeated(b, out.shape);
  for (std::int64_t n = 0; n < out.shape.n; ++n) {
    const float* right = b.pixel(n, 0, 0);
    for (std::int64_t y = 0; y < out.shape.h; ++y)
      for (std::int64_t x = 0; x < out.shape.w; ++x, right += step.pixel)
        for (std::int64_t c = 0; c < out.shape.c; ++c)
          out.at(n, y, x, c) = operation(a.at(n, y, x, c), right[c * step.channel]);
  }
}

void expect(bool fits, std::string_view name, const Shape& a, const Shape& b) {
  if (!fits) fail(ErrorCode::invalid_argument, name, ": ", a, " and ", b, " do not fit");
}

}  // namespace

Repeated repeated(ConstView b, const Shape& out) {
  const bool one_pixel = b.shape.h == 1 && b.shape.w == 1, one_channel = b.shape.c == 1 && out.c != 1;
  return {one_pixel ? 0 : b.pitch, one_channel ? 0 : 1};
}

void add_reference(const Add&, ConstView a, ConstView b, View out) {
  combine(a, b, out, [](float l, float r) { return l + r; });
}

void mul_reference(const Mul&, ConstView a, ConstView b, View out) {
  combine(a, b, out, [](float l, float r) { return l * r; });
}

void max_reference(const Max&, ConstView a, ConstView b, View out) {
  combine(a, b, out, [](float l, float r) { return std::max(l, r); });
}

void scale_reference(const Scale& layer, ConstView in, View out) {
  for (std::int64_t p = 0; p < in.shape.pixels(); ++p)
    for (std::int64_t c = 0; c < in.shape.c; ++c)
      out.data[p * out.pitch + c] = in.data[p * in.pitch + c] * layer.factor;
}

Shape output_shape(const Add&, const Shape& a, const Shape& b) {
  expect(a == b, Add::name, a, b);
  return a;
}

Shape output_shape(const Mul&, const Shape& a, const Shape& b) {
  const bool same_size = a.h == b.h && a.w == b.w, one_pixel = b.h == 1 && b.w == 1;
  expect(a.n == b.n && ((a.c == b.c && (same_size || one_pixel)) || (b.c == 1 && same_size)), Mul::name, a,
         b);
  return a;
}

Shape output_shape(const Max&, const Shape& a, const Shape& b) {
  expect(a == b, Max::name, a, b);
  return a;
}

Shape Add::output_shape(Shapes in) const { return atrous::output_shape(*this, in[0], in[1]); }
Shape Mul::output_shape(Shapes in) const { return atrous::output_shape(*this, in[0], in[1]); }
Shape Max::output_shape(Shapes in) const { return atrous::output_shape(*this, in[0], in[1]); }
Shape Scale::output_shape(Shapes in) const { return in[0]; }

void Add::run_reference(Views in, View out) const { add_reference(*this, in[0], in[1], out); }
void Mul::run_reference(Views in, View out) const { mul_reference(*this, in[0], in[1], out); }
void Max::run_reference(Views in, View out) const { max_reference(*this, in[0], in[1], out); }
void Scale::run_reference(Views in, View out) const { scale_reference(*this, in[0], out); }

}  // namespace atrous
