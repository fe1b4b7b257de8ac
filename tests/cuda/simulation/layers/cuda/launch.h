// Stands before the source tree's layers/cuda/launch.h when kernels are compiled for the simulated device.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "layers/cuda/cuda.h"
#include "tests/cuda/simulation/grid.h"

#define __launch_bounds__(...)

inline auto& threadIdx = simulated::place.thread;
inline auto& blockIdx = simulated::place.block;
inline auto& blockDim = simulated::place.block_size;
inline auto& gridDim = simulated::place.grid_size;

using std::max;
using std::min;

inline void __syncthreads() { simulated::wait_for_block(); }
template <class T>
T __shfl_xor_sync(unsigned, T value, int lane_mask, int = 32) {
  return simulated::exchange(value, simulated::lane() ^ lane_mask);
}

// What the compiler for the device may not fuse. Here nothing is fused (-ffp-contract=off).
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }

namespace atrous::cuda {

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes,
            cudaStream_t stream, const Arguments&... arguments) {
  simulated::enqueue_grid(stream, grid, block, shared_bytes,
                          [=] { kernel(static_cast<Parameters>(arguments)...); });
  check(cudaGetLastError(), "a kernel's launch");
}

template <class T>
T* shared_memory() {
  return reinterpret_cast<T*>(simulated::shared_bytes());
}

}  // namespace atrous::cuda
