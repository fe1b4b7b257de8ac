// The weights of a convolution, as torch keeps them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "layers/base/stored_weights.h"

namespace atrous {

// How a convolution's sums may round.
//   any      by any kernel.
//   close    not by Winograd's largest tiles, which round more than all others.
//   precise  hardly more than the result does, whatever that costs: where places are made of nearly equal
//            values, as by MaxUnpool2d, other rounding gives other places.
// For the processor's kernels. Those of CUDA round as always.
enum class Rounding { any, close, precise };

// What is still to be done to weights before they are packed.
struct PendingWeights {
  std::shared_ptr<const StoredWeights> stored;  // to read them; null where they are in memory
  std::vector<double> factors;  // [d0], to multiply those of each output channel; empty for none
};

// A four-dimensional block of weights [d0, d1, kernel_h, kernel_w], row-major, shared and immutable:
// Conv2d keeps [out_channels, in_channels / groups, kh, kw], ConvTranspose2d [in_channels, out_channels /
// groups, kh, kw].
struct Filter {
  std::int64_t d0 = 0, d1 = 0, kernel_h = 0, kernel_w = 0;
  std::shared_ptr<const float> data;

  // Of a quantised Conv2d in place of data: weight[o, ...] = scale[o] * quantised[o, ...], which are -127 to
  // 127.
  std::shared_ptr<const std::int8_t> quantised = nullptr;
  std::shared_ptr<const float> scale = nullptr;  // [d0]

  // Of a Conv2d on its way to be packed: WeightMemory (runtime/engine/weight_memory.h) makes data alone of
  // it.
  std::shared_ptr<const PendingWeights> pending = nullptr;

  // Beside quantised ones, or null: what each channel of the layer's input is divided by where that is in 8
  // bits (equalise() in runtime/engine/passes.h). The weights are multiplied by it already:
  // weight[o, i, ...] = scale[o] * quantised[o, i, ...] / equalisation[i];
  // of a depthwise layer equalisation[o] is what output channel o reads.
  std::shared_ptr<const float> equalisation = nullptr;  // [d1], of a depthwise layer [d0]

  // What identifies the weights, wherever they are shared.
  const void* id() const {
    return quantised ? static_cast<const void*>(quantised.get())
           : data    ? static_cast<const void*>(data.get())
           : pending ? pending->stored.get()
                     : nullptr;
  }

  template <class Visit>
  void each_weight(Visit&& visit) {
    visit(pending, 0);
    if (!quantised) return visit(data, elements());
    visit(scale, d0);
    if (equalisation) visit(equalisation, d1 == 1 ? d0 : d1);
    visit(quantised, elements());
  }

  std::int64_t elements() const { return d0 * d1 * kernel_h * kernel_w; }
  float at(std::int64_t i, std::int64_t j, std::int64_t ky, std::int64_t kx) const {
    return data.get()[((i * d1 + j) * kernel_h + ky) * kernel_w + kx];
  }
};

// The floats that the weights are, of quantised ones made; null where there are none.
std::shared_ptr<const float> dequantised(const Filter&);

}  // namespace atrous
