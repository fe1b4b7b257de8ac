// One call of a convolution, as the libraries' convolutions see it: what their plans depend on, and the maps.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>

#include "layers/conv2d.h"
#include "layers/cuda/cuda.h"

namespace atrous::cuda {

// Pitches in elements. Where channels are padded, the pitch of a dense map is the padded channels.
struct Conv2dProblem {
  Shape in, out;
  std::int64_t in_pitch = 0, out_pitch = 0;
  std::int64_t residual_pitch = 0;  // of a residual as large as the output, otherwise 0
  bool repeated_residual = false;   // of one pixel for each image

  auto key() const {
    return std::array{
        in.n, in.h, in.w, in_pitch, out.h, out.w, out_pitch, residual_pitch, std::int64_t{repeated_residual}};
  }
};

Conv2dProblem dense_problem(std::span<const Shape> inputs, const Shape& out, Precision);

// Error(invalid_argument) where channels that are added to a map would be another map's.
Conv2dProblem problem_of(const KernelCall&, Precision);
bool is_dense(const Conv2dProblem&, Precision);
Conv2dProblem dense(Conv2dProblem, Precision);

// "conv2d 3x3 stride 1 padding 12 dilation 12 groups 1 relu, 1x65x65x2048 -> 256, residual, fp16".
std::string describe(const Conv2d&, const Conv2dProblem&, Precision);

struct Conv2dOperands {
  Map in, out;
  std::optional<Map> residual;
  std::byte* workspace = nullptr;
};
Conv2dOperands operands_of(const KernelCall&, const Context&);

// Operands to time a dense problem with: some numbers. Error(limit) where memory does not suffice.
class ScratchOperands {
 public:
  ScratchOperands(const Conv2dProblem&, std::size_t workspace_bytes, const Context&);
  const Conv2dOperands& get() const { return operands_; }

 private:
  Memory in_, out_, residual_, workspace_;
  Conv2dOperands operands_;
};

}  // namespace atrous::cuda
