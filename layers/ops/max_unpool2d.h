// MaxUnpool2d: max pooling undone as far as can be. Each value returns to where its window's largest stood,
// and all else is zero.
//
//   out[n, p(y, x, c), c] = in[n, y, x, c],   p the pixel of before[n, y * kernel .. + kernel,
//                                             x * kernel .. + kernel, c] that holds the largest value
//   out = 0                                   elsewhere
//
// The second input is the map that was pooled: its windows tell where the largest stood, so that nothing but
// a map passes between the pool and this layer. Of equal values the first in rows, then columns, is meant.
// Rows and columns that no whole window covers become zero.
//
// Source: Zeiler & Fergus 2014, "Visualizing and Understanding Convolutional Networks", section 2.1; Noh,
// Hong & Han 2015, "Learning Deconvolution Network for Semantic Segmentation", section 3.2.1.
// torch.nn.MaxUnpool2d with output_size = the size before pooling, windows side by side.
#pragma once

#include "layers/ops/layer.h"

namespace atrous {

struct MaxUnpool2d {
  std::int64_t kernel = 2;  // and stride

  static constexpr std::string_view name = "max_unpool2d";
  // That of the second input. Error(invalid_argument) unless the first is that map pooled: floor(h / kernel)
  // rows, floor(w / kernel) columns, as many images and channels.
  Shape output_shape(Shapes in) const;
  void run_reference(Views in, View out) const;
};

void max_unpool2d_reference(const MaxUnpool2d&, ConstView in, ConstView before, View out);

}  // namespace atrous
