// What a back end runs: one layer made ready, its weights packed once, for inputs of any size.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "layers/tensor.h"

namespace atrous {

struct KernelCall {
  std::span<const ConstView> inputs;
  View output;
  std::span<std::byte> workspace;  // at least workspace_bytes(...), aligned to 64 bytes, contents arbitrary
  int threads = 1;
};

// Immutable once made: any number of threads may run it at once, each with its own views and workspace.
// The result is bitwise the same for any number of threads.
class Kernel {
 public:
  virtual ~Kernel() = default;
  virtual std::string_view name() const = 0;  // of the implementation: "reference", "implicit_gemm", ...
  virtual std::size_t packed_bytes() const { return 0; }
  virtual std::size_t workspace_bytes(std::span<const Shape> inputs, const Shape& output, int threads) const {
    (void)inputs, (void)output, (void)threads;
    return 0;
  }
  virtual void run(const KernelCall&) const = 0;
};

}  // namespace atrous
