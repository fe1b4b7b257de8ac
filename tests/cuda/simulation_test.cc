#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "tests/cuda/simulation/simulation.h"

namespace atrous::simulation_test {

namespace {

struct Stream {
  cudaStream_t handle = nullptr;
  Stream() { REQUIRE(cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking) == cudaSuccess); }
  ~Stream() { cudaStreamDestroy(handle); }
};

}  // namespace

TEST_CASE("simulated device: memory begins as NaN, is counted, and has a limit") {
  const auto before = simulated::allocations();
  float* data = nullptr;
  REQUIRE(cudaMalloc(&data, 3 * sizeof(float)) == cudaSuccess);
  CHECK(reinterpret_cast<std::uintptr_t>(data) % 256 == 0);
  CHECK(data[2] != data[2]);
  CHECK(simulated::allocations().count == before.count + 1);
  CHECK(simulated::allocations().bytes == before.bytes + 12);
  CHECK(simulated::on_device(data, 12));
  CHECK(!simulated::on_device(data, 13));

  simulated::set_memory_limit(1000);
  void* more = nullptr;
  CHECK(cudaMalloc(&more, 989) == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaSuccess);
  CHECK(cudaMalloc(&more, 988) == cudaSuccess);
  simulated::set_memory_limit(std::size_t{1} << 30);
  CHECK(cudaFree(more) == cudaSuccess);
  CHECK(cudaFree(data) == cudaSuccess);
  CHECK(simulated::allocations().misuses.empty());
  CHECK(cudaFree(data) == cudaErrorInvalidValue);
  CHECK(simulated::allocations().misuses.size() == 1);
  simulated::forget_misuses();
  cudaGetLastError();
}

TEST_CASE("simulated device: what a captured stream is given runs when the graph is launched, each time") {
  const Stream stream;
  int* data = nullptr;
  REQUIRE(cudaMalloc(&data, sizeof(int)) == cudaSuccess);
  REQUIRE(cudaMemset(data, 0, sizeof(int)) == cudaSuccess);
  REQUIRE(cudaStreamBeginCapture(stream.handle, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  simulated::enqueue(stream.handle, [data] { ++*data; });
  simulated::enqueue(stream.handle, [data] { *data *= 3; });
  cudaGraph_t graph = nullptr;
  REQUIRE(cudaStreamEndCapture(stream.handle, &graph) == cudaSuccess);
  std::size_t nodes = 0;
  CHECK(cudaGraphGetNodes(graph, nullptr, &nodes) == cudaSuccess);
  CHECK(nodes == 2);
  CHECK(*data == 0);
  cudaGraphExec_t executable = nullptr;
  REQUIRE(cudaGraphInstantiate(&executable, graph, 0) == cudaSuccess);
  CHECK(cudaGraphDestroy(graph) == cudaSuccess);
  CHECK(cudaGraphLaunch(executable, stream.handle) == cudaSuccess);
  CHECK(*data == 3);
  CHECK(cudaGraphLaunch(executable, stream.handle) == cudaSuccess);
  CHECK(*data == 12);
  CHECK(cudaGraphExecDestroy(executable) == cudaSuccess);
  cudaFree(data);
}

TEST_CASE("simulated device: waiting or allocating breaks a capture") {
  const Stream stream;
  cudaGraph_t graph = nullptr;
  void* data = nullptr;
  for (const bool wait : {false, true}) {
    REQUIRE(cudaStreamBeginCapture(stream.handle, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
    CHECK((wait ? cudaStreamSynchronize(stream.handle) : cudaMalloc(&data, 1)) ==
          cudaErrorStreamCaptureUnsupported);
    CHECK(cudaStreamEndCapture(stream.handle, &graph) == cudaErrorStreamCaptureInvalidated);
    CHECK(graph == nullptr);
  }
  cudaGetLastError();
}

TEST_CASE("simulated device: deferred work is done when someone waits; pageable sources are read before") {
  simulated::set_deferred(true);
  const Stream stream;
  int* data = nullptr;
  int* pinned = nullptr;
  REQUIRE(cudaMalloc(&data, 2 * sizeof(int)) == cudaSuccess);
  REQUIRE(cudaMallocHost(&pinned, sizeof(int)) == cudaSuccess);
  int pageable = 5;
  *pinned = 6;
  CHECK(cudaMemcpyAsync(data, &pageable, 4, cudaMemcpyHostToDevice, stream.handle) == cudaSuccess);
  CHECK(cudaMemcpyAsync(data + 1, pinned, 4, cudaMemcpyHostToDevice, stream.handle) == cudaSuccess);
  pageable = *pinned = 7;
  CHECK(data[0] == -1);
  CHECK(cudaStreamSynchronize(stream.handle) == cudaSuccess);
  CHECK(data[0] == 5);
  CHECK(data[1] == 7);
  simulated::set_deferred(false);
  cudaFree(data);
  cudaFreeHost(pinned);
}

TEST_CASE("simulated device: a copy that leaves its allocation, or mistakes the sides, is refused") {
  int host[4] = {};
  int* data = nullptr;
  REQUIRE(cudaMalloc(&data, 12) == cudaSuccess);
  CHECK(cudaMemcpy(data, host, 12, cudaMemcpyHostToDevice) == cudaSuccess);
  CHECK(cudaMemcpy(data, host, 16, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  CHECK(cudaMemcpy(host, host + 1, 4, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(cudaMemcpy(data, host, 4, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(cudaMemcpy2DAsync(data, 4, host, 8, 4, 2, cudaMemcpyHostToDevice, nullptr) == cudaSuccess);
  CHECK(cudaMemcpy2DAsync(data, 8, host, 8, 8, 2, cudaMemcpyHostToDevice, nullptr) == cudaErrorInvalidValue);
  cudaFree(data);
  cudaGetLastError();
}

TEST_CASE("simulated device: there may be none, and calls can be made to fail") {
  int count = -1;
  simulated::set_device_count(0);
  CHECK(cudaGetDeviceCount(&count) == cudaErrorNoDevice);
  simulated::set_device_count(1);
  CHECK(cudaGetDeviceCount(&count) == cudaSuccess);
  CHECK(count == 1);
  CHECK(cudaSetDevice(1) == cudaErrorInvalidDevice);
  simulated::fail_next(cudaErrorLaunchFailure);
  CHECK(cudaDeviceSynchronize() == cudaErrorLaunchFailure);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
  cudaGetLastError();
}

}  // namespace atrous::simulation_test
