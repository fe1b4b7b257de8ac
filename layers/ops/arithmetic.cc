#include "layers/ops/arithmetic.h"

#include "layers/base/error.h"

namespace atrous {

namespace {

bool repeated(const Shape& b) { return b.h == 1 && b.w == 1; }

template <class Operation>
void combine(ConstView a, ConstView b, View out, Operation operation) {
  for (std::int64_t n = 0; n < out.shape.n; ++n)
    for (std::int64_t y = 0; y < out.shape.h; ++y)
      for (std::int64_t x = 0; x < out.shape.w; ++x) {
        const float* right = repeated(b.shape) ? b.pixel(n, 0, 0) : b.pixel(n, y, x);
        for (std::int64_t c = 0; c < out.shape.c; ++c)
          out.at(n, y, x, c) = operation(a.at(n, y, x, c), right[c]);
      }
}

void expect(bool fits, const char* name, const Shape& a, const Shape& b) {
  if (!fits) fail(ErrorCode::invalid_argument, name, ": ", a, " and ", b, " do not fit");
}

}  // namespace

void add_reference(const Add&, ConstView a, ConstView b, View out) {
  combine(a, b, out, [](float l, float r) { return l + r; });
}

void mul_reference(const Mul&, ConstView a, ConstView b, View out) {
  combine(a, b, out, [](float l, float r) { return l * r; });
}

Shape output_shape(const Add&, const Shape& a, const Shape& b) {
  expect(a == b, "add", a, b);
  return a;
}

Shape output_shape(const Mul&, const Shape& a, const Shape& b) {
  expect(a.n == b.n && a.c == b.c && ((a.h == b.h && a.w == b.w) || repeated(b)), "mul", a, b);
  return a;
}

}  // namespace atrous
