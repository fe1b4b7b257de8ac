// The weights of a convolution, as torch keeps them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

namespace atrous {

// How a convolution's sums may round.
//   any      by any kernel.
//   close    not by Winograd's largest tiles, which round more than all others.
//   precise  hardly more than the result does, whatever that costs: where places are made of nearly equal
//            values, as by MaxUnpool2d, other rounding gives other places.
// For the processor's kernels. Those of CUDA round as always.
enum class Rounding { any, close, precise };

// Weights that are still in a file.
class StoredWeights {
 public:
  virtual ~StoredWeights() = default;
  // The floats [first, first + out.size()) of the tensor, by any thread. Error(io) where the file has become
  // shorter.
  virtual void read(std::int64_t first, std::span<float> out) const = 0;
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

  // Of a Conv2d on its way to be packed, which WeightMemory (runtime/engine/weight_memory.h) brings back
  // to data alone: where the weights are in place of data, and by what those of each output channel are still
  // to be multiplied, [d0], null for 1.
  std::shared_ptr<const StoredWeights> stored = nullptr;
  std::shared_ptr<const double> factors = nullptr;

  // What identifies the weights, wherever they are shared.
  const void* id() const {
    return quantised ? static_cast<const void*>(quantised.get())
           : data    ? static_cast<const void*>(data.get())
                     : stored.get();
  }

  template <class Visit>
  void each_weight(Visit&& visit) {
    visit(stored, 0);
    visit(factors, 0);
    if (!quantised) return visit(data, elements());
    visit(scale, d0);
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
