#include "layers/ops/group_norm.h"

#include <cmath>

#include "layers/base/checked.h"

namespace atrous {

namespace {

// The sum of f(value) over the channels [first, first + count) of an image's pixels.
template <class F>
double sum_of(ConstView image, std::int64_t first, std::int64_t count, F&& f) {
  double sum = 0;
  for (std::int64_t i = 0; i < image.shape.pixels(); ++i) {
    const float* x = image.data + i * image.pitch + first;
    for (std::int64_t c = 0; c < count; ++c) sum += f(static_cast<double>(x[c]));
  }
  return sum;
}

}  // namespace

void group_norm_reference(const GroupNorm& layer, ConstView in, View out) {
  const std::int64_t count = layer.channels / layer.groups;
  for (std::int64_t n = 0; n < in.shape.n; ++n) {
    const ConstView image = image_of(in, n);
    const auto values = static_cast<double>(image.shape.pixels() * count);
    for (std::int64_t first = 0; first < layer.channels; first += count) {
      const double mean = sum_of(image, first, count, [](double x) { return x; }) / values;
      const double variance =
          sum_of(image, first, count, [mean](double x) { return (x - mean) * (x - mean); }) / values;
      const double scale = 1 / std::sqrt(variance + layer.eps);
      for (std::int64_t i = 0; i < image.shape.pixels(); ++i)
        for (std::int64_t c = first; c < first + count; ++c)
          out.pixel(n, 0, 0)[i * out.pitch + c] =
              static_cast<float>((static_cast<double>(image.data[i * image.pitch + c]) - mean) * scale *
                                     static_cast<double>(layer.weight.get()[c]) +
                                 static_cast<double>(layer.bias.get()[c]));
    }
  }
}

Shape GroupNorm::output_shape(Shapes in) const {
  if (in[0].c != channels)
    fail(ErrorCode::invalid_argument, "group_norm: expected ", channels, " channels, found ", in[0].c);
  return in[0];
}

void GroupNorm::run_reference(Views in, View out) const { group_norm_reference(*this, in[0], out); }

std::int64_t GroupNorm::macs(Shapes in) const {
  return checked_product({in[0].n, in[0].h, in[0].w, channels}, "group_norm: multiply-accumulates");
}

}  // namespace atrous
