// A convolution's weights as its CPU kernels read them, packed once and shared by all that may run the layer.
//
// As a matrix the weights are (taps * channels) x output channels. It is cut into stretches of k, what one
// call of the tile sums (gemm_tile.h), and into panels of as many output channels as the tile is wide:
//
//   [group][stretch][panel][k of the stretch][column of the panel]
//
// k runs over taps, then channels. Taps of many channels are cut evenly into stretches of their own, so that
// a whole stretch may be skipped where it falls into the padding; taps of few channels share a stretch.
//
// In bfloat16 two k lie side by side, as the processor's instruction for their product wants them:
// [k / 2 of the stretch][column of the panel][k % 2]. Of 8 bits four do.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "layers/base/tensor.h"
#include "layers/cpu/tiles/bf16_tile.h"
#include "layers/cpu/tiles/gemm_tile.h"
#include "layers/cpu/tiles/int8_tile.h"
#include "layers/ops/conv2d.h"

namespace atrous {

// Input floats that lie under one or several horizontally neighbouring taps, side by side in memory.
struct Segment {
  std::int64_t dy, dx;         // from the output pixel's first tap, in input pixels
  std::int64_t first, floats;  // channels of one tap: [first, first + floats); of several taps: all of them
  std::int64_t taps;           // how many neighbouring pixels
  std::int64_t at;             // place in the stretch
};

struct Stretch {
  std::int64_t first_k, depth;
  std::vector<Segment> segments;
};

class PackedConv2d {
 public:
  // dtype: of the packed weights, f32 or bf16, to which they are rounded, or i8, of quantised ones. Of an
  // even number of input channels in bf16, of a multiple of four in i8. Floats that are pending are read
  // panel by panel; errors as read_rows().
  PackedConv2d(const Conv2d&, Isa, int threads, DType dtype = DType::f32);

  const Conv2d& layer() const {
    return layer_;
  }  // without its weights and bias; those of i8 keep scale and bias
  Isa isa() const { return isa_; }
  DType dtype() const { return dtype_; }
  const GemmTile& tile() const { return tile_; }
  const std::vector<Stretch>& stretches() const { return stretches_; }
  std::int64_t group_columns() const { return group_columns_; }  // output channels of a group
  std::int64_t panels() const { return panels_; }                // of a group
  std::size_t bytes() const { return weight_bytes_ + bias_.size(); }

  // [k of the stretch][column], of bfloat16 and i8 as said above. T is the type of dtype().
  template <class T = float>
  const T* weights(std::int64_t group, const Stretch& s, std::int64_t panel) const {
    return reinterpret_cast<const T*>(weights_.get()) + offset(group, s, panel);
  }
  // [column], zeros where the layer has no bias
  const float* bias(std::int64_t group, std::int64_t panel) const {
    return data(bias_) + (group * panels_ + panel) * tile_.columns;
  }

  // The weights of consecutive k, row after row: how many there are is where the stretch ends. In bfloat16
  // from an even k on.
  template <class T>
  struct Rows {
    const T* first;  // [count][column]
    std::int64_t count;
  };
  template <class T>
  Rows<T> rows(std::int64_t group, std::int64_t panel, std::int64_t k) const;

 private:
  static float* data(Buffer& b) { return reinterpret_cast<float*>(b.data()); }
  static const float* data(const Buffer& b) { return reinterpret_cast<const float*>(b.data()); }
  std::int64_t offset(std::int64_t group, const Stretch& s, std::int64_t panel) const {
    return ((group * depth_ + s.first_k) * panels_ + panel * s.depth) * tile_.columns;
  }
  const Stretch& stretch_of(std::int64_t k) const;
  void pack(int threads);
  template <class T, class From, class Convert>
  void pack_panel(std::int64_t group, std::int64_t panel, const From* weights, Convert&& convert);
  std::int64_t first_output(std::int64_t group, std::int64_t panel) const {
    return group * group_columns_ + panel * tile_.columns;
  }
  std::int64_t columns_of(std::int64_t panel) const {  // output channels that there are
    return std::min<std::int64_t>(tile_.columns, group_columns_ - panel * tile_.columns);
  }

  Conv2d layer_;
  Isa isa_;
  DType dtype_;
  GemmTile tile_;
  std::vector<Stretch> stretches_;
  std::int64_t depth_, group_columns_, panels_;  // of one group
  std::shared_ptr<std::byte> weights_;
  std::size_t weight_bytes_ = 0;
  Buffer bias_;
};

}  // namespace atrous
