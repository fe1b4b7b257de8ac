// What the parts of the simulated runtime share: everything there is on the device, and how a call goes.
#pragma once

#include <cuda_runtime.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "tests/cuda/simulation/simulation.h"

using Work = std::function<void()>;

struct CUgraph_st {
  std::vector<Work> nodes;
};

struct CUgraphExec_st {
  std::vector<Work> nodes;
};

struct CUstream_st {
  std::deque<Work> pending;
  std::unique_ptr<CUgraph_st> capture;  // not null while capturing
  bool capture_broken = false;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id captured_by;
};

struct CUevent_st {
  bool recorded = false, happened = false, timed = true;
  std::chrono::steady_clock::time_point at;
};

namespace simulated {

struct Block {
  std::size_t bytes = 0;
  bool host = false;
};

struct State {
  std::recursive_mutex mutex;  // of everything here, and of running work: one piece at a time
  std::map<std::uintptr_t, Block> blocks;
  std::set<cudaStream_t> streams;
  std::set<cudaEvent_t> events;
  std::set<cudaGraph_t> graphs;
  std::set<cudaGraphExec_t> executables;
  CUstream_st default_stream;
  std::size_t limit = std::size_t{1} << 30, used = 0, works = 0;
  int devices = 1;
  bool deferred = false;
  cudaError_t failure = cudaSuccess;  // of the call after `calls_to_failure` others
  std::size_t calls_to_failure = 0;
  bool for_good = false, failed = false;
  std::vector<std::string> misuses;
  std::chrono::duration<double, std::milli>
      passed{};  // on the device's clock, beside the time that really passes
};

inline State& state() {
  static State* const the_one = new State;  // outlives every static that frees its memory late
  return *the_one;
}

inline thread_local cudaError_t last_error = cudaSuccess;
inline thread_local int current_device = 0;

inline cudaError_t report(cudaError_t status) {
  if (status != cudaSuccess) last_error = status;
  return status;
}

// Every call of the runtime: under the lock, with failures that were asked for, remembered as the last error.
template <class Call>
cudaError_t call(Call&& body) {
  const std::lock_guard lock(state().mutex);
  if (State& s = state(); s.failure != cudaSuccess) {
    s.failed = s.calls_to_failure == 0;
    if (s.failed) return report(s.for_good ? s.failure : std::exchange(s.failure, cudaSuccess));
    --s.calls_to_failure;
  }
  if (state().devices == 0) return report(cudaErrorNoDevice);
  return report(body());
}

inline CUstream_st* stream_at(cudaStream_t stream) {
  if (!stream) return &state().default_stream;
  return state().streams.contains(stream) ? stream : nullptr;
}

inline void flush(CUstream_st& stream) {
  while (!stream.pending.empty()) {
    const Work work = std::move(stream.pending.front());
    stream.pending.pop_front();
    ++state().works;
    work();
  }
}

inline void flush_all() {
  flush(state().default_stream);
  for (cudaStream_t stream : state().streams) flush(*stream);
}

// Whether a call that no capture allows must be refused; captures that see it are broken by it.
inline bool forbidden_by_capture() {
  bool forbidden = false;
  for (cudaStream_t stream : state().streams) {
    const bool mine = stream->captured_by == std::this_thread::get_id();
    const bool concerned = stream->mode == cudaStreamCaptureModeGlobal ||
                           (stream->mode == cudaStreamCaptureModeThreadLocal && mine);
    if (!stream->capture || !concerned) continue;
    stream->capture_broken = forbidden = true;
  }
  return forbidden;
}
// Removes from the living and deletes; the handle's own error where it is not among them.
template <class Handle>
cudaError_t destroy(std::set<Handle>& living, Handle handle) {
  if (living.erase(handle) == 0) return cudaErrorInvalidResourceHandle;
  delete handle;
  return cudaSuccess;
}
}  // namespace simulated
