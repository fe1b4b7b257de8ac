// The last step of every network: logits upsampled to the picture's size and the largest class of each pixel,
// without ever writing the logits at full size.
//
//   labels[y, x] = argmax over c of bilinear(logits)[y, x, c]
//   confidence[y, x] = softmax over c of bilinear(logits)[y, x, :], at the label: 1 / sum of exp(logit -
//   largest)
//
// Logits of one channel z are a binary network's (argmax.h):
//
//   labels[y, x] = bilinear(z)[y, x] > threshold
//   confidence[y, x] = max(p, 1 - p) with p = sigmoid(bilinear(z)[y, x]): 1 / (1 + exp(-|z|))
//
// Works in bands of rows. A band keeps the two rows of the low-resolution map that it lies between, already
// widened to the full width and with the channels apart, so that the vertical blend and the argmax run along
// the row in full vectors. Equal logits go to the lower class. Bitwise the same for any number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "layers/base/tensor.h"
#include "layers/cpu/isa.h"
#include "layers/ops/resize.h"

namespace atrous {

struct UpsampleArgmaxCall {
  ConstView logits;  // one image: [1, h, w, classes], classes <= 256
  std::int64_t height = 0, width = 0;
  std::span<std::uint8_t> labels;  // height * width
  std::span<float> confidence;     // height * width, or empty: not computed
  std::span<std::byte> workspace;  // upsample_argmax_workspace bytes, aligned to 64
  int threads = 1;
  float threshold = 0;  // of one channel; a logit, so 0 is a probability of a half
  Growth growth = {};   // out_h and out_w of 0: height and width
};

std::size_t upsample_argmax_workspace(std::int64_t classes, std::int64_t height, std::int64_t width,
                                      int threads);

// Error(limit) for more than 256 classes.
void upsample_argmax(Isa, const UpsampleArgmaxCall&);

}  // namespace atrous
