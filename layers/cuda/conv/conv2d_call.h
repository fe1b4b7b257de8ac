// One call of a convolution, as the libraries' convolutions see it: what their plans depend on, and the maps.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>

#include "layers/cuda/cuda.h"
#include "layers/ops/conv2d.h"

namespace atrous::cuda {

struct Conv2dProblem {
  enum class Residual { none, map, pixel };  // as large as the output, or a repeated pixel for each image

  Shape in, out;
  Residual residual = Residual::none;

  auto key() const { return std::array{in.n, in.h, in.w, out.h, out.w, static_cast<std::int64_t>(residual)}; }
};
Conv2dProblem problem_of(std::span<const Shape> inputs, const Shape& out);
Conv2dProblem problem_of(const KernelCall&);

// "conv2d 3x3 stride 1 padding 12 dilation 12 groups 1 relu, 1x65x65x2048 -> 256, residual, fp16".
std::string describe(const Conv2d&, const Conv2dProblem&, Precision);

struct Conv2dOperands {
  Map in, out;
  std::optional<Map> residual;
  std::byte* workspace = nullptr;
};
// Error(invalid_argument) unless the maps are dense, that is, have the pitch that device.h gives them.
Conv2dOperands operands_of(const KernelCall&, const Context&);

// Operands to time a problem with: some numbers. Error(limit) where memory does not suffice.
class ScratchOperands {
 public:
  ScratchOperands(const Conv2dProblem&, std::size_t workspace_bytes, const Context&);
  const Conv2dOperands& get() const { return operands_; }

 private:
  Memory in_, out_, residual_, workspace_;
  Conv2dOperands operands_;
};

}  // namespace atrous::cuda
