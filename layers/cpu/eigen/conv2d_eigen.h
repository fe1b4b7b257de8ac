// Conv2d as textbooks make it fast: im2col, then one matrix product, which is Eigen's.
//
//   pixels x (taps * channels)   times   (taps * channels) x output channels
//
// Every output pixel has a row, in which the input pixels under its taps are copied side by side, zeros for
// those in the padding; the product of all rows with the weights is the layer. What implicit_gemm
// (conv/conv2d_implicit_gemm.h) does better: it skips taps in the padding, packs the weights once and not in
// every call, and holds a stretch of a row at a time.
//
// The list of kernels (cpu_backend.cc) makes this one only when it is asked for by name: `--force eigen`. It
// is readable and portable, and quick enough to check whole networks. Compiled once, for the compiler's
// baseline (SSE2 on x86-64, in 16 KB), and with blocks of one size for every processor: its results are the
// same on every instruction set.
//
// Measured (Zen 4, one thread, 65x65): 512 -> 512 channels, 3x3, dilation 4 in 558 ms, 36 GFLOP/s; the ladder
// (layers/cpu/README.md) has the others beside it.
#pragma once

#include <memory>

#include "layers/graph/kernel.h"
#include "layers/ops/conv2d.h"

namespace atrous {

// Takes any Conv2d.
std::unique_ptr<Kernel> make_conv2d_eigen(const Conv2d&);

}  // namespace atrous
