// The simulated device's way of running kernels: what it must find, and what it must get right.
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "layers/cuda/launch.h"
#include "tests/cuda/device_testing.h"
#include "tests/cuda/simulation/simulation.h"
#include "tests/support/sanitizers.h"

namespace atrous::cuda {

namespace {

__global__ void places(int* to) {
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  to[block * blockDim.x * blockDim.y * blockDim.z + thread] = static_cast<int>(100 * block + thread);
}

// What the next thread of the block has put down.
__global__ void neighbour(float* to, bool wait) {
  float* shared = shared_memory<float>();
  shared[threadIdx.x] = static_cast<float>(threadIdx.x);
  if (wait) __syncthreads();
  to[blockIdx.x * blockDim.x + threadIdx.x] = shared[(threadIdx.x + 1) % blockDim.x];
}

__global__ void warp_sum(float* to) {
  float sum = static_cast<float>(threadIdx.x);
  for (int distance = 16; distance > 0; distance /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, distance);
  to[threadIdx.x] = sum;
}

__global__ void increment(float* to) { ++to[threadIdx.x]; }

}  // namespace

TEST_CASE("simulated kernels: every thread of every block runs once and knows its place") {
  const dim3 grid(2, 3, 2), block(3, 2, 4);
  const OnDevice out(12 * 24 * sizeof(int));
  launch(places, grid, block, 0, nullptr, out.as<int>());
  const auto found = out.read<int>();
  for (std::size_t i = 0; i < found.size(); ++i) CHECK(found[i] == static_cast<int>(100 * (i / 24) + i % 24));
}

TEST_CASE("simulated kernels: threads that wait see what the others wrote; where they do not, NaN shows it") {
  for (const bool wait : {true, false}) {
    const OnDevice out(2 * 100 * sizeof(float));
    launch(neighbour, dim3(2), dim3(100), 100 * sizeof(float), nullptr, out.as<float>(), wait);
    int wrong = 0;
    const auto found = out.read<float>();
    for (std::size_t i = 0; i < found.size(); ++i) wrong += found[i] != static_cast<float>((i + 1) % 100);
    CHECK((wrong == 0) == wait);
  }
}

TEST_CASE("simulated kernels: a warp's shuffles exchange the values of that moment") {
  const OnDevice out(64 * sizeof(float));
  launch(warp_sum, dim3(1), dim3(64), 0, nullptr, out.as<float>());
  const auto found = out.read<float>();
  for (std::size_t i = 0; i < 64; ++i) CHECK(found[i] == (i < 32 ? 496 : 1520));
}

TEST_CASE("simulated kernels: a launch that no device takes is an error, and runs nothing") {
  const OnDevice out(std::vector<float>(8, 1.f));
  const auto error = [&](dim3 grid, dim3 block, std::size_t shared) {
    return error_of(ErrorCode::device,
                    [&] { launch(increment, grid, block, shared, nullptr, out.as<float>()); });
  };
  CHECK(contains(error(dim3(1), dim3(1025), 0), "launch: invalid configuration"));
  CHECK(contains(error(dim3(0), dim3(8), 0), "launch: invalid configuration"));
  CHECK(contains(error(dim3(1, 65536), dim3(8), 0), "launch: invalid configuration"));
  CHECK(contains(error(dim3(1), dim3(8), (48 << 10) + 1), "launch: invalid configuration"));
  CHECK(error(dim3(1), dim3(8), 48 << 10) == "");
  CHECK(out.read<float>() == std::vector<float>(8, 2.f));
}

TEST_CASE("simulated kernels: a captured launch runs with its graph, with the arguments of then") {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
  const OnDevice out(std::vector<float>(8, 0.f));
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
  launch(increment, dim3(1), dim3(8), 0, stream, out.as<float>());
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(stream, &graph), "capture");
  cudaGraphExec_t executable = nullptr;
  check(cudaGraphInstantiate(&executable, graph, 0), "graph");
  CHECK(out.read<float>() == std::vector<float>(8, 0.f));
  for (int i = 0; i < 3; ++i) check(cudaGraphLaunch(executable, stream), "graph");
  CHECK(out.read<float>() == std::vector<float>(8, 3.f));
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
}

#if !ATROUS_ADDRESS_SANITIZER  // which ends the process where it is written
TEST_CASE("simulated device: what is written beside an allocation is found when it is freed") {
  for (const int at : {-1, 12}) {
    void* data = nullptr;
    check(cudaMalloc(&data, 12), "cudaMalloc");
    simulated::enqueue(nullptr, [=] { static_cast<volatile char*>(data)[at] = 1; });
    cudaFree(data);
    const auto misuses = simulated::allocations().misuses;
    REQUIRE(misuses.size() == 1);
    CHECK(contains(misuses[0], at < 0 ? "before its begin" : "beyond its end"));
    simulated::forget_misuses();
  }
}
#endif

}  // namespace atrous::cuda
