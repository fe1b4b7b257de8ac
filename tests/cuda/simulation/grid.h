// Kernels on the processor: blocks one after the other, the threads of a block as fibers of one thread of the
// process, switched where they wait for each other. A thread that never waits costs a function call.
//
// Odd blocks run their threads in reverse order: where a __syncthreads is missing, one order or the other
// shows it. Shared memory begins as NaN in every block and ends where its allocation ends. Threads that wait
// for what cannot come (some have left the kernel, or wait for something else) end the process with a
// message.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstring>
#include <functional>

namespace simulated {

// As cudaLaunchKernel. A grid that no device takes becomes the last error.
void enqueue_grid(cudaStream_t, dim3 grid, dim3 block, std::size_t shared_bytes,
                  std::function<void()> thread);

// Of the running thread.
struct Place {
  uint3 thread{}, block{};
  dim3 block_size, grid_size;
};
extern Place place;

unsigned char* shared_bytes();
void wait_for_block();
void wait_for_warp();
int lane();                     // the running thread's in its warp
void* exchange_slot(int lane);  // 16 bytes of that thread of the warp

// What the thread `from` of the warp gives.
template <class T>
T exchange(const T& value, int from) {
  static_assert(sizeof(T) <= 16);
  std::memcpy(exchange_slot(lane()), &value, sizeof(T));
  wait_for_warp();
  T found;
  std::memcpy(&found, exchange_slot(from), sizeof(T));
  wait_for_warp();
  return found;
}

}  // namespace simulated
