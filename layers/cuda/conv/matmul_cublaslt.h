// Convolutions 1x1 as matrix products by cuBLASLt.
//
// To cuBLAS a map channels last is a matrix of a column for each pixel, whose leading dimension is the pitch.
// A convolution of 1x1 pixels, stride 1 and no padding is then one product, with an epilogue:
//
//   out[o, pixel] = activation(sum over i of weight[i, o] * in[i, pixel] + residual[o, pixel] + bias[o])
//
// cuBLASLt adds the residual (its C, beta = 1), the bias, and does relu; other activations, and a residual of
// one repeated pixel with what comes after it, follow in a kernel of ours (epilogue, cuda_kernels.h).
//
// Algorithms are chosen as by conv2d_cudnn.h: once for each shape, at first by cuBLASLt's heuristics, with
// DeviceOptions::search by time. Only those are asked for that add up in fp32 and in a fixed order, and
// CUBLAS_COMPUTE_32F_PEDANTIC keeps fp32 off the tensor cores.
//
// Source: cuBLAS documentation, "Using the cuBLASLt API".
#pragma once

#include <memory>

#include "layers/cuda/cuda.h"
#include "layers/ops/conv2d.h"

namespace atrous::cuda {

// Null for convolutions that are not as said above.
std::unique_ptr<Kernel> make_conv2d_cublaslt(const Conv2d&, const std::shared_ptr<Context>&);

}  // namespace atrous::cuda
