// What every file of the CUDA back end stands on: errors, memory, streams, launches, maps on the device.
#pragma once

#include <cublasLt.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <cudnn.h>

#include <array>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "layers/base/error.h"
#include "layers/graph/device.h"

namespace atrous::cuda {

// Each with the library's own sentence: Error(limit) where memory ran out, Error(unsupported) where the
// driver or the library does not take what is asked for, Error(device) for every other failure. After many of
// those CUDA refuses all further work of the process.
void check(cudaError_t, std::string_view what);
void check(cudnnStatus_t, std::string_view what);
void check(cublasStatus_t, std::string_view what);

// Whether the library says that it does not take what is asked for. Nothing else is a reason to ask another.
bool is_refusal(cudnnStatus_t);
bool is_refusal(cublasStatus_t);

std::string cudnn_sentence(cudnnStatus_t);  // with what cuDNN says of the last failure in this thread

// Owned memory on the device, aligned to 256 bytes.
class Memory {
 public:
  Memory() = default;
  explicit Memory(std::size_t bytes);
  ~Memory() { release(); }
  Memory(Memory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Memory& operator=(Memory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  void* data() const { return data_; }
  std::size_t size() const { return bytes_; }

 private:
  void release();
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

// Copies from the process's memory and waits.
Memory to_device(const void* data, std::size_t bytes);

// The values in fp32, or rounded to half, on the device.
Memory to_device(std::span<const float> values, Precision);

struct PaddedConv2d;
struct CudnnOutcome;

// What the kernels of one device share. Outlives them all: they hold it.
struct Context {
  int device = 0;
  DeviceOptions options;
  cudaDeviceProp properties{};
  cublasLtHandle_t cublas = nullptr;  // for any number of threads
  cudnnHandle_t planner = nullptr;    // for building plans, under the lock
  std::mutex planning;

  explicit Context(const DeviceOptions&);
  ~Context();
  Context(const Context&) = delete;

  Precision precision() const { return options.precision; }
  void make_current() const;  // the device is a setting of each thread

  // The weights of a convolution that were packed last, which its next kernels share (padded_conv2d.h).
  struct LastPacked {
    std::weak_ptr<const float> weight, bias;
    std::array<std::int64_t, 4> shape{};
    std::weak_ptr<const PaddedConv2d> packed;
  };
  LastPacked last_packed;

  // What cuDNN made of a shape (conv2d_cudnn.cc), by all that it depends on, as long as some kernel has it.
  std::map<std::string, std::weak_ptr<const CudnnOutcome>> cudnn_outcomes;
};

// What KernelCall::queue is here.
class Queue;
cudaStream_t stream_of(const KernelCall&);
cudnnHandle_t cudnn_of(const KernelCall&);  // set to that stream

// A view as kernels take it: by value, in 32-bit sizes (Error(limit) beyond), the element type apart.
struct Map {
  void* data = nullptr;
  int n = 0, h = 0, w = 0, c = 0;
  int pitch = 0;  // elements from pixel to pixel
  bool half = false;

  long long pixels() const { return 1LL * n * h * w; }
};
Map map_of(const ConstAnyView&);
Map image_of(Map, std::int64_t n);  // image n alone

}  // namespace atrous::cuda
