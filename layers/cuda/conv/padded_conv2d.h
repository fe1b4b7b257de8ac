// The weights of a convolution on the device, as cuDNN and cuBLAS take them.
#pragma once

#include <memory>

#include "layers/cuda/cuda.h"
#include "layers/ops/conv2d.h"

namespace atrous::cuda {

struct PaddedConv2d {
  // As on the device: rounded up to a pitch, with zero weights and a zero bias for what is added.
  std::int64_t in_channels = 0, out_channels = 0;
  Memory weight;     // [out, kernel_h, kernel_w, in / groups], in the precision's type
  Memory bias;       // [out], in the precision's type
  Memory bias_fp32;  // [out], for epilogue()

  std::size_t bytes() const { return weight.size() + bias.size() + bias_fp32.size(); }
};

// Whether the groups stay what they are when channels are padded; so it is where nothing is.
bool can_pack(const Conv2d&, Precision);

// The kernels of one layer, made one after the other, share what is packed.
std::shared_ptr<const PaddedConv2d> pack(const Conv2d&, Context&);

// The layer without its data, for kernels to keep.
Conv2d without_data(const Conv2d&);

}  // namespace atrous::cuda
