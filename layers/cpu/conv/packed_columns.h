// A convolution's weights and biases packed for row_tile.h: the output channels in groups of one to three
// vectors, and in each group the weights in the order in which the tile reads them.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "layers/base/tensor.h"
#include "layers/cpu/tiles/row_tile.h"
#include "layers/ops/conv2d.h"

namespace atrous {

class PackedColumns {
 public:
  // Output channels [first, first + columns), which fill `vectors` vectors, the last perhaps in part.
  struct Group {
    std::int64_t first, columns;
    int vectors;
  };

  // Of an ungrouped convolution. A group's weights are [kernel_h][kernel_w][input channel][column], zeros in
  // columns that do not exist.
  PackedColumns(const Conv2d&, const RowTiles&, int threads = 1);

  std::span<const Group> groups() const { return groups_; }
  std::int64_t columns() const { return bias_.shape().c; }  // those of the last vector that do not exist too
  const float* weights() const { return weights_.get(); }
  std::int64_t offset(const Group& g) const { return depth_ * g.first; }  // of the group's weights
  const float* bias(const Group& g) const { return bias_.data() + g.first; }
  std::size_t weight_bytes() const { return static_cast<std::size_t>(depth_ * columns()) * sizeof(float); }
  std::size_t bytes() const { return weight_bytes() + bias_.values().size_bytes(); }

  // Of a 1x1 convolution: the weights of each input channel times its factor, laid out as the packed ones.
  void scale(const float* factors, float* to) const;

 private:
  std::int64_t depth_, lanes_;
  std::vector<Group> groups_;
  std::shared_ptr<float> weights_;  // [depth][columns]
  Tensor bias_;
};

// to[k][column] = from[k * to_next + column * to_next_column] for `count` k, zeros from `columns` up to
// `width`. Four columns at a time: what is written lies side by side.
void transpose_weights(const float* from, std::int64_t to_next, std::int64_t to_next_column,
                       std::int64_t count, std::int64_t columns, float* to, std::int64_t width);

}  // namespace atrous
