// How kernels are started, and where their shared memory is. The tests have another header of this name,
// which runs kernels on the processor (tests/cuda/simulation): whatever else a kernel asks of its
// surroundings beyond threadIdx and the like has to be known there, too.
#pragma once

#include <cstddef>

#include "layers/cuda/cuda.h"

namespace atrous::cuda {

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes,
            cudaStream_t stream, const Arguments&... arguments) {
  kernel<<<grid, block, shared_bytes, stream>>>(static_cast<Parameters>(arguments)...);
  check(cudaGetLastError(), "a kernel's launch");
}

// The launch's shared_bytes, one T at its begin.
template <class T>
__device__ T* shared_memory() {
  extern __shared__ __align__(16) unsigned char bytes_of_block[];
  return reinterpret_cast<T*>(bytes_of_block);
}

}  // namespace atrous::cuda
