#include "layers/ops/encoding.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "layers/base/checked.h"

namespace atrous {

void encoding_reference(const Encoding& layer, ConstView in, View out) {
  const std::int64_t K = layer.codewords, C = layer.channels;
  std::vector<float> belongs(static_cast<std::size_t>(K));
  for (std::int64_t n = 0; n < in.shape.n; ++n) {
    std::vector<double> sums(static_cast<std::size_t>(K * C));
    for (std::int64_t i = 0; i < in.shape.h * in.shape.w; ++i) {
      const float* x = in.pixel(n, 0, 0) + i * in.pitch;
      for (std::int64_t k = 0; k < K; ++k) {
        float distance = 0;
        for (std::int64_t c = 0; c < C; ++c) {
          const float apart = x[c] - layer.codeword.get()[k * C + c];
          distance += apart * apart;
        }
        belongs[static_cast<std::size_t>(k)] = layer.smoothing.get()[k] * distance;
      }
      const float largest = *std::ranges::max_element(belongs);
      float total = 0;
      for (float& b : belongs) total += b = std::exp(b - largest);
      for (std::int64_t k = 0; k < K; ++k)
        for (std::int64_t c = 0; c < C; ++c)
          sums[static_cast<std::size_t>(k * C + c)] += static_cast<double>(
              belongs[static_cast<std::size_t>(k)] / total * (x[c] - layer.codeword.get()[k * C + c]));
    }
    for (std::int64_t c = 0; c < C; ++c) {
      double mean = 0;
      for (std::int64_t k = 0; k < K; ++k)
        mean +=
            std::max(static_cast<double>(layer.scale.get()[k]) * sums[static_cast<std::size_t>(k * C + c)] +
                         static_cast<double>(layer.shift.get()[k]),
                     0.0);
      out.at(n, 0, 0, c) = static_cast<float>(mean / static_cast<double>(K));
    }
  }
}

Shape Encoding::output_shape(Shapes in) const {
  if (in[0].c != channels)
    fail(ErrorCode::invalid_argument, "encoding: expected ", channels, " channels, found ", in[0].c);
  return {in[0].n, 1, 1, channels};
}

void Encoding::run_reference(Views in, View out) const { encoding_reference(*this, in[0], out); }

std::int64_t Encoding::macs(Shapes in) const {
  return checked_product({in[0].n, in[0].h, in[0].w, codewords, channels, 2},
                         "encoding: multiply-accumulates");
}

}  // namespace atrous
