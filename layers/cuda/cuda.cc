#include "layers/cuda/cuda.h"

#include <algorithm>
#include <array>
#include <vector>

#include "layers/base/checked.h"
#include "layers/cuda/queue.h"

namespace atrous::cuda {

namespace {

// What tells of the machine, its driver or this build, before any work is done.
ErrorCode code_of(cudaError_t status) {
  switch (status) {
    case cudaErrorMemoryAllocation:
      return ErrorCode::limit;
    case cudaErrorNoDevice:
    case cudaErrorInvalidDevice:
    case cudaErrorInsufficientDriver:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorCompatNotSupportedOnDevice:
    case cudaErrorCallRequiresNewerDriver:
    case cudaErrorStubLibrary:
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInvalidPtx:
    case cudaErrorUnsupportedPtxVersion:
    case cudaErrorJitCompilerNotFound:
    case cudaErrorJitCompilationDisabled:
      return ErrorCode::unsupported;
    default:
      return ErrorCode::device;
  }
}

ErrorCode code_of(cudnnStatus_t status) {
  if (is_refusal(status)) return ErrorCode::unsupported;
  const bool memory = status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
                      status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
  return memory ? ErrorCode::limit : ErrorCode::device;
}

ErrorCode code_of(cublasStatus_t status) {
  if (is_refusal(status)) return ErrorCode::unsupported;
  return status == CUBLAS_STATUS_ALLOC_FAILED ? ErrorCode::limit : ErrorCode::device;
}

}  // namespace

void check(cudaError_t status, std::string_view what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // what is reported here is not reported once more elsewhere
  fail(code_of(status), "cuda: ", what, ": ", cudaGetErrorString(status));
}

// An engine that cannot be compiled here, or whose part of the library is missing, is not to be had.
bool is_refusal(cudnnStatus_t status) {
  switch (status) {
    case CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH:
    case CUDNN_STATUS_SUBLIBRARY_LOADING_FAILED:
    case CUDNN_STATUS_DEPRECATED:
    case CUDNN_STATUS_LICENSE_ERROR:
    case CUDNN_STATUS_INTERNAL_ERROR_COMPILATION_FAILED:
      return true;
    default:
      const int category = CUDNN_STATUS_CATEGORY(status);
      return category == CUDNN_STATUS_BAD_PARAM || category == CUDNN_STATUS_NOT_SUPPORTED;
  }
}

bool is_refusal(cublasStatus_t status) {
  return status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE ||
         status == CUBLAS_STATUS_ARCH_MISMATCH || status == CUBLAS_STATUS_LICENSE_ERROR;
}

void check(cudnnStatus_t status, std::string_view what) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  fail(code_of(status), "cuDNN: ", what, ": ", cudnn_sentence(status));
}

std::string cudnn_sentence(cudnnStatus_t status) {
  std::array<char, 512> text{};
  cudnnGetLastErrorString(text.data(), text.size());
  std::string sentence = cudnnGetErrorString(status);
  const std::string detail(text.data(), std::ranges::find(text, '\0'));
  if (!detail.empty()) sentence += ": " + detail;
  return sentence;
}

void check(cublasStatus_t status, std::string_view what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  fail(code_of(status), "cuBLASLt: ", what, ": ", cublasLtGetStatusString(status));
}

Memory::Memory(std::size_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  const cudaError_t status = cudaMalloc(&data_, bytes);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    std::size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    fail(ErrorCode::limit, "cuda: memory: ", bytes, " bytes needed, ", free, " of ", total, " are free");
  }
  check(status, "cudaMalloc");
}

void Memory::release() { cudaFree(data_); }

Memory to_device(const void* data, std::size_t bytes) {
  Memory memory(bytes);
  if (bytes == 0) return memory;
  check(cudaMemcpy(memory.data(), data, bytes, cudaMemcpyHostToDevice), "cudaMemcpy");
  // Pageable memory may still be on its way when cudaMemcpy returns, and our streams do not wait for it.
  check(cudaStreamSynchronize(nullptr), "cudaMemcpy");
  return memory;
}

Memory to_device(std::span<const float> values, Precision precision) {
  if (precision != Precision::fp16) return to_device(values.data(), values.size_bytes());
  std::vector<__half> halves(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) halves[i] = __float2half_rn(values[i]);
  return to_device(halves.data(), halves.size() * sizeof(__half));
}

Context::Context(const DeviceOptions& asked) : device(asked.index), options(asked) {
  check(cudaSetDevice(device), str_cat("device ", device));
  check(cudaGetDeviceProperties(&properties, device), str_cat("device ", device));
  check(cublasLtCreate(&cublas), "cublasLtCreate");
  const cudnnStatus_t status = cudnnCreate(&planner);
  if (status != CUDNN_STATUS_SUCCESS) {
    cublasLtDestroy(cublas);
    check(status, "cudnnCreate");
  }
}

Context::~Context() {
  cudnnDestroy(planner);
  cublasLtDestroy(cublas);
}

void Context::make_current() const { check(cudaSetDevice(device), str_cat("device ", device)); }

cudaStream_t stream_of(const KernelCall& call) { return static_cast<Queue&>(*call.queue).stream(); }
cudnnHandle_t cudnn_of(const KernelCall& call) { return static_cast<Queue&>(*call.queue).cudnn(); }

Map map_of(const ConstAnyView& view) {
  const auto narrow = [](std::int64_t size) { return checked_cast<int>(size, "cuda: size of a map"); };
  return {const_cast<std::byte*>(view.data),
          narrow(view.shape.n),
          narrow(view.shape.h),
          narrow(view.shape.w),
          narrow(view.shape.c),
          narrow(view.pitch),
          view.dtype == DType::f16};
}

Map image_of(Map map, std::int64_t n) {
  const std::int64_t elements = n * map.h * map.w * map.pitch;
  map.data = static_cast<std::byte*>(map.data) + elements * (map.half ? 2 : 4);
  map.n = 1;
  return map;
}

}  // namespace atrous::cuda
