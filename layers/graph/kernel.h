// What a back end runs: one layer made ready, its weights packed once, for inputs of any size.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "layers/base/tensor.h"

namespace atrous {

class DeviceQueue;  // device.h

struct KernelCall {
  std::span<const ConstAnyView> inputs;
  AnyView output;  // overlaps no input but an ungrouped convolution's residual, a concatenation's laid inputs
  std::span<std::byte> workspace;  // aligned to 64 bytes, contents arbitrary
  int threads = 1;
  DeviceQueue* queue = nullptr;  // where a device's kernel puts its work; null for the processor's

  // For kernels of fp32: Error(invalid_argument) where a map is of another type.
  ConstView in(std::size_t i) const { return inputs[i]; }
  View out() const { return output; }
};

// Immutable once made: any number of threads may run it at once, each with its own views and workspace.
// The result is bitwise the same for any number of threads and any size of workspace. A kernel of a device
// (device.h) returns when its work is put into the call's queue, and everything it is given lies there.
class Kernel {
 public:
  virtual ~Kernel() = default;
  virtual std::string_view name() const = 0;  // of the implementation: "reference", "implicit_gemm", ...

  // Of the weights that the kernel holds. Kernels made for one node share them, and all name the whole.
  virtual std::size_t packed_bytes() const { return 0; }

  // The workspace that the kernel runs best with, and the least that it runs with at all.
  virtual std::size_t workspace_bytes(std::span<const Shape> inputs, const Shape& output, int threads) const {
    (void)inputs, (void)output, (void)threads;
    return 0;
  }
  virtual std::size_t least_workspace_bytes(std::span<const Shape> inputs, const Shape& output,
                                            int threads) const {
    return workspace_bytes(inputs, output, threads);
  }

  // What a run costs, in multiply-accumulates of a matrix product that takes as long: an estimate, only for
  // comparing the kernels of one node.
  virtual double cost(std::span<const Shape> inputs, const Shape& output) const {
    (void)inputs, (void)output;
    return 0;
  }

  virtual void run(const KernelCall&) const = 0;
};

}  // namespace atrous
