// Crop: a rectangle out of a map, of the size of another one.
//
//   out[n, y, x, c] = in[n, y + top, x + left, c]            0 <= y < h of the second input, and likewise x
//
// Networks that pad generously at the beginning cut the surplus off at the end (Long, Shelhamer & Darrell
// 2015; Caffe's Crop; U-Net of Ronneberger et al. 2015). Source: slicing of torch tensors.
#pragma once

#include "layers/ops/layer.h"

namespace atrous {

// The size is that of the node's second input, whose values are not read.
struct Crop {
  std::int64_t top = 0, left = 0;

  static constexpr std::string_view name = "crop";
  // Error(invalid_argument), with the numbers, where the rectangle leaves the map.
  Shape output_shape(Shapes in) const;
  void run_reference(Views in, View out) const;
};

void crop_reference(const Crop&, ConstView in, View out);

}  // namespace atrous
