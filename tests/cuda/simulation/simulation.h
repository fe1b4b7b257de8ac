// A simulated device, for tests of the CUDA back end where there is no GPU: the very sources, run by the
// processor. It stands in for libcudart (runtime.cc defines the real API's functions), runs kernels
// (grid.h), and finds what a GPU would only sometimes: accesses outside of allocations, uninitialised memory
// (it begins as NaN, in float and in half), leaks, results read before anyone waited for them.
//
// What it says nothing of: speed, races between the threads of a warp, what the compiler for the device does.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace simulated {

// Work for the stream: run at once, or put off until someone waits (set_deferred), or, while the stream is
// being captured, only kept for the graph.
void enqueue(cudaStream_t, std::function<void()>);

// The running work takes so long by the device's clock, which events read: nobody waits, and no busy machine
// adds much.
void pass(double milliseconds);

struct Allocations {
  std::size_t count = 0, bytes = 0;                 // on the device, not freed yet
  std::size_t host_count = 0, host_bytes = 0;       // page-locked
  std::size_t streams = 0, events = 0, graphs = 0;  // not destroyed yet; executable graphs count, too
  std::vector<std::string> misuses;  // a sentence for each block freed twice or written beyond its ends
};
Allocations allocations();
void forget_misuses();

// Whether all of it lies in one allocation of the device.
bool on_device(const void* data, std::size_t bytes);

// cudaMalloc beyond it returns cudaErrorMemoryAllocation. At first 1 GiB.
void set_memory_limit(std::size_t bytes);

// At first 1. With 0 the runtime says cudaErrorNoDevice.
void set_device_count(int);

// Work waits in its stream until someone waits for it: the latest that a device may be. Copies out of
// page-locked memory then see what it holds at that time. At first false.
void set_deferred(bool);

// Of the calls of the runtime that return a status, queries of errors apart, the next one after so many does
// nothing but return this, and with `for_good` all that follow do, too: as after a fault that a kernel made.
void fail_after(std::size_t calls, cudaError_t, bool for_good = false);
inline void fail_next(cudaError_t error) { fail_after(0, error); }
bool has_failed();  // since then
void stop_failing();

// What cudaGetLastError returns next on this thread.
void set_last_error(cudaError_t);

// How often work was run, by graphs or otherwise.
std::size_t works_run();

}  // namespace simulated
