#include "layers/cpu/conv/packed_columns.h"

#include <algorithm>

#include "layers/base/checked.h"
#include "layers/base/weight_pages.h"
#include "layers/cpu/parallel.h"

namespace atrous {

void transpose_weights(const float* from, std::int64_t to_next, std::int64_t to_next_column,
                       std::int64_t count, std::int64_t columns, float* to, std::int64_t width) {
  std::int64_t column = 0;
  for (; column + 4 <= columns; column += 4)
    for (std::int64_t k = 0; k < count; ++k) {
      const float* const at = from + column * to_next_column + k * to_next;
      const float a = at[0], b = at[to_next_column], c = at[2 * to_next_column], d = at[3 * to_next_column];
      float* const four = to + k * width + column;
      four[0] = a;
      four[1] = b;
      four[2] = c;
      four[3] = d;
    }
  for (; column < width; ++column)
    for (std::int64_t k = 0; k < count; ++k)
      to[k * width + column] = column < columns ? from[column * to_next_column + k * to_next] : 0.f;
}

PackedColumns::PackedColumns(const Conv2d& layer, const RowTiles& tiles, int threads)
    : depth_(layer.weight.d1 * layer.weight.kernel_h * layer.weight.kernel_w), lanes_(tiles.lanes) {
  const Filter& w = layer.weight;
  const std::int64_t outputs = w.d0, lanes = lanes_;
  std::int64_t vectors = (outputs + lanes - 1) / lanes;
  bias_ = Tensor::zeros({1, 1, 1, vectors * lanes});
  const auto bytes = checked_product({depth_, vectors * lanes, sizeof(float)}, "packed weights");
  const auto memory = packed_memory(static_cast<std::size_t>(bytes));
  weights_ = {memory, reinterpret_cast<float*>(memory.get())};
  if (layer.bias) std::copy_n(layer.bias.get(), outputs, bias_.data());

  // Twos, and where their number is odd a three: that fills the registers best.
  for (std::int64_t first = 0; vectors > 0;) {
    const std::int64_t taken = vectors % 2 == 1 ? std::min<std::int64_t>(vectors, 3) : 2;
    groups_.push_back({first, std::min(taken * lanes, outputs - first), static_cast<int>(taken)});
    first += taken * lanes;
    vectors -= taken;
  }

  parallel_tasks(threads, static_cast<std::int64_t>(groups_.size()), [&](std::int64_t group, int) {
    const Group& g = groups_[static_cast<std::size_t>(group)];
    const std::int64_t width = g.vectors * lanes, taps = w.kernel_h * w.kernel_w;
    float* to = weights_.get() + offset(g);
    constexpr std::int64_t block = 16;  // of channels, whose weights lie in one line of the cache
    for (std::int64_t tap = 0; tap < taps; ++tap, to += w.d1 * width)
      for (std::int64_t i = 0; i < w.d1; i += block)
        transpose_weights(w.data.get() + (g.first * w.d1 + i) * taps + tap, taps, w.d1 * taps,
                          std::min(block, w.d1 - i), g.columns, to + i * width, width);
  });
}

void PackedColumns::scale(const float* factors, float* to) const {
  const float* from = weights_.get();
  for (const Group& g : groups_)
    for (std::int64_t k = 0; k < depth_; ++k)
      for (std::int64_t column = 0; column < g.vectors * lanes_; ++column) *to++ = *from++ * factors[k];
}

}  // namespace atrous
