// Conv2d as textbooks make it fast: im2col, then one matrix product, which is Eigen's.
//
//   pixels x (taps * channels)   times   (taps * channels) x output channels
//
// Every output pixel has a row, in which the input pixels under its taps are copied side by side, zeros for
// those in the padding; the product of all rows with the weights is the layer. What implicit_gemm
// (conv/conv2d_implicit_gemm.h) does better: it skips taps in the padding, packs the weights once and not in
// every call, and holds a stretch of a row at a time.
//
// The list of the kernels (cpu_backend.cc) makes it when it is asked for by name alone: `--force eigen`. It
// is readable and portable, and quick enough to check whole networks. Compiled once, for the compiler's
// baseline (SSE2 on x86-64, in 19 KB): its results are the same on every instruction set.
//
// Measured (Zen 4, 117 GFLOP/s with AVX-512, one thread, 65x65): 512 -> 512 channels, 3x3, dilation 4: see
// the ladder, layers/cpu/README.md.
#pragma once

#include <memory>

#include "layers/graph/kernel.h"
#include "layers/ops/conv2d.h"

namespace atrous {

// Takes any Conv2d.
std::unique_ptr<Kernel> make_conv2d_eigen(const Conv2d&);

}  // namespace atrous
