#include "layers/cuda/cuda.h"

// Where layers/cuda/cuda.cc is not linked.
namespace atrous::cuda {

void check(cudaError_t status, std::string_view what) {
  if (status == cudaSuccess) return;
  fail(status == cudaErrorMemoryAllocation ? ErrorCode::limit : ErrorCode::unsupported, "cuda: ", what, ": ",
       cudaGetErrorString(status));
}

}  // namespace atrous::cuda
