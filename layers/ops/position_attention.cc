#include "layers/ops/position_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "layers/base/checked.h"

namespace atrous {

namespace {

float fit(ConstView query, std::int64_t i, ConstView key, std::int64_t j) {
  const float *a = query.data + i * query.pitch, *b = key.data + j * key.pitch;
  float sum = 0;
  for (std::int64_t k = 0; k < query.shape.c; ++k) sum += a[k] * b[k];
  return sum;
}

}  // namespace

void position_attention_reference(const PositionAttention&, ConstView query, ConstView key, ConstView value,
                                  View out) {
  const std::int64_t C = value.shape.c, pixels = value.shape.h * value.shape.w;
  std::vector<double> mixed(static_cast<std::size_t>(checked_multiply(pixels, C, "position_attention")));
  for (std::int64_t n = 0; n < value.shape.n; ++n) {
    const ConstView q = image_of(query, n), k = image_of(key, n), v = image_of(value, n);
    float largest = -std::numeric_limits<float>::infinity();
    for (std::int64_t i = 0; i < pixels; ++i)
      for (std::int64_t j = 0; j < pixels; ++j) largest = std::max(largest, fit(q, i, k, j));

    std::ranges::fill(mixed, 0.0);
    double total = 0;
    for (std::int64_t i = 0; i < pixels; ++i) {
      double* row = mixed.data() + i * C;
      for (std::int64_t j = 0; j < pixels; ++j) {
        const auto share = static_cast<double>(std::exp(fit(q, i, k, j) - largest));
        total += share;
        const float* x = v.data + j * v.pitch;
        for (std::int64_t c = 0; c < C; ++c) row[c] += share * static_cast<double>(x[c]);
      }
    }
    for (std::int64_t i = 0; i < pixels; ++i)
      for (std::int64_t c = 0; c < C; ++c)
        out.pixel(n, 0, 0)[i * out.pitch + c] =
            static_cast<float>(mixed[static_cast<std::size_t>(c * pixels + i)] / total);
  }
}

Shape PositionAttention::output_shape(Shapes in) const {
  const auto size = [](const Shape& s) { return Shape{s.n, s.h, s.w, 1}; };
  if (size(in[0]) != size(in[2]) || in[0] != in[1])
    fail(ErrorCode::invalid_argument, "position_attention: a query of ", in[0], ", a key of ", in[1],
         " and a value of ", in[2], " do not fit");
  const std::int64_t pixels = checked_multiply(in[0].h, in[0].w, "position_attention: pixels");
  checked_product({pixels, pixels}, "position_attention: pairs of pixels");
  return in[2];
}

void PositionAttention::run_reference(Views in, View out) const {
  position_attention_reference(*this, in[0], in[1], in[2], out);
}

}  // namespace atrous
