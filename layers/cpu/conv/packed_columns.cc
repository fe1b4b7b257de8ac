#include "layers/cpu/conv/packed_columns.h"

#include <algorithm>

#include "layers/cpu/parallel.h"

namespace atrous {

PackedColumns::PackedColumns(const Conv2d& layer, const RowTiles& tiles, int threads)
    : depth_(layer.weight.d1 * layer.weight.kernel_h * layer.weight.kernel_w), lanes_(tiles.lanes) {
  const Filter& w = layer.weight;
  const std::int64_t outputs = w.d0, lanes = lanes_;
  std::int64_t vectors = (outputs + lanes - 1) / lanes;
  weights_ = Tensor({1, 1, depth_, vectors * lanes});
  bias_ = Tensor::zeros({1, 1, 1, vectors * lanes});
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
    float* to = weights_.data() + offset(g);
    for (std::int64_t ky = 0; ky < w.kernel_h; ++ky)
      for (std::int64_t kx = 0; kx < w.kernel_w; ++kx)
        for (std::int64_t i = 0; i < w.d1; ++i)
          for (std::int64_t column = 0; column < g.vectors * lanes; ++column)
            *to++ = column < g.columns ? w.at(g.first + column, i, ky, kx) : 0.f;
  });
}

void PackedColumns::scale(const float* factors, float* to) const {
  const float* from = weights_.data();
  for (const Group& g : groups_)
    for (std::int64_t k = 0; k < depth_; ++k)
      for (std::int64_t column = 0; column < g.vectors * lanes_; ++column) *to++ = *from++ * factors[k];
}

}  // namespace atrous
