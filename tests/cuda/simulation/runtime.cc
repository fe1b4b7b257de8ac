// The CUDA runtime's functions, as far as the back end calls them, on the processor's memory.
#include <cuda_runtime.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "tests/cuda/simulation/simulation.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(data, bytes) ((void)(data), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(data, bytes) ((void)(data), (void)(bytes))
#endif

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

namespace {

constexpr std::size_t alignment = 256, guard_bytes = 256;
constexpr int fresh = 0xff, guard = 0xa5;

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
  cudaError_t next_failure = cudaSuccess;
  std::vector<std::string> misuses;
};

State& state() {
  static State* const the_one = new State;  // outlives every static that frees its memory late
  return *the_one;
}

thread_local cudaError_t last_error = cudaSuccess;
thread_local int current_device = 0;

cudaError_t report(cudaError_t status) {
  if (status != cudaSuccess) last_error = status;
  return status;
}

// Every call of the runtime: under the lock, with failures that were asked for, remembered as the last error.
template <class Call>
cudaError_t call(Call&& body) {
  const std::lock_guard lock(state().mutex);
  if (state().next_failure != cudaSuccess) return report(std::exchange(state().next_failure, cudaSuccess));
  if (state().devices == 0) return report(cudaErrorNoDevice);
  return report(body());
}

CUstream_st* stream_at(cudaStream_t stream) {
  if (!stream) return &state().default_stream;
  return state().streams.contains(stream) ? stream : nullptr;
}

void flush(CUstream_st& stream) {
  while (!stream.pending.empty()) {
    const Work work = std::move(stream.pending.front());
    stream.pending.pop_front();
    ++state().works;
    work();
  }
}

void flush_all() {
  flush(state().default_stream);
  for (cudaStream_t stream : state().streams) flush(*stream);
}

// Whether a call that no capture allows must be refused; captures that see it are broken by it.
bool forbidden_by_capture() {
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

const std::pair<const std::uintptr_t, Block>* block_around(const void* data, std::size_t bytes) {
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  auto next = state().blocks.upper_bound(address);
  if (next == state().blocks.begin()) return nullptr;
  const auto& found = *--next;
  const std::size_t offset = address - found.first;
  return offset <= found.second.bytes && bytes <= found.second.bytes - offset ? &found : nullptr;
}

bool on_host(const void* data, std::size_t bytes) {
  const auto* block = block_around(data, std::max<std::size_t>(bytes, 1));
  return !block || block->second.host;
}

bool pinned(const void* data, std::size_t bytes) {
  const auto* block = block_around(data, bytes);
  return block && block->second.host;
}

cudaError_t allocate(void** data, std::size_t bytes, bool host) {
  State& s = state();
  if (!data) return cudaErrorInvalidValue;
  *data = nullptr;
  if (forbidden_by_capture()) return cudaErrorStreamCaptureUnsupported;
  if (bytes == 0) return cudaSuccess;
  if (!host && (bytes > s.limit || s.used > s.limit - bytes)) return cudaErrorMemoryAllocation;
  const std::size_t room = (bytes + 2 * guard_bytes + alignment - 1) / alignment * alignment;
  auto* whole = room < bytes ? nullptr : static_cast<unsigned char*>(std::aligned_alloc(alignment, room));
  if (!whole) return cudaErrorMemoryAllocation;
  std::memset(whole, guard, room);
  std::memset(whole + guard_bytes, fresh, bytes);
  ASAN_POISON_MEMORY_REGION(whole, guard_bytes);
  ASAN_POISON_MEMORY_REGION(whole + guard_bytes + bytes, room - guard_bytes - bytes);
  *data = whole + guard_bytes;
  s.blocks[reinterpret_cast<std::uintptr_t>(*data)] = {bytes, host};
  if (!host) s.used += bytes;
  return cudaSuccess;
}

cudaError_t release(void* data, bool host) {
  State& s = state();
  if (!data) return cudaSuccess;
  const auto found = s.blocks.find(reinterpret_cast<std::uintptr_t>(data));
  if (found == s.blocks.end() || found->second.host != host) {
    s.misuses.push_back(host ? "page-locked memory freed that was not allocated, or twice"
                             : "device memory freed that was not allocated, or twice");
    return cudaErrorInvalidValue;
  }
  if (forbidden_by_capture()) return cudaErrorStreamCaptureUnsupported;
  flush_all();  // freeing waits
  const std::size_t bytes = found->second.bytes;
  auto* whole = static_cast<unsigned char*>(data) - guard_bytes;
  const std::size_t room = (bytes + 2 * guard_bytes + alignment - 1) / alignment * alignment;
  ASAN_UNPOISON_MEMORY_REGION(whole, room);
  const auto intact = [](const unsigned char* from, std::size_t count) {
    return std::all_of(from, from + count, [](unsigned char byte) { return byte == guard; });
  };
  if (!intact(whole, guard_bytes))
    s.misuses.push_back("a block of " + std::to_string(bytes) + " bytes was written before its begin");
  if (!intact(whole + guard_bytes + bytes, room - guard_bytes - bytes))
    s.misuses.push_back("a block of " + std::to_string(bytes) + " bytes was written beyond its end");
  if (!host) s.used -= bytes;
  s.blocks.erase(found);
  std::free(whole);
  return cudaSuccess;
}

struct Copy {
  void* to = nullptr;
  std::size_t to_pitch = 0;
  const void* from = nullptr;
  std::size_t from_pitch = 0, width = 0, height = 0;
  cudaMemcpyKind kind = cudaMemcpyDefault;

  std::size_t to_bytes() const { return (height - 1) * to_pitch + width; }
  std::size_t from_bytes() const { return (height - 1) * from_pitch + width; }

  void run() const {
    for (std::size_t row = 0; row < height; ++row)
      std::memcpy(static_cast<char*>(to) + row * to_pitch, static_cast<const char*>(from) + row * from_pitch,
                  width);
  }
};

bool sound(const Copy& c) {
  if (c.width > c.to_pitch || c.width > c.from_pitch) return false;
  const auto fits = [](const void* data, std::size_t bytes, bool device) {
    return device ? simulated::on_device(data, bytes) : on_host(data, bytes);
  };
  switch (c.kind) {
    case cudaMemcpyHostToHost:
      return fits(c.to, c.to_bytes(), false) && fits(c.from, c.from_bytes(), false);
    case cudaMemcpyHostToDevice:
      return fits(c.to, c.to_bytes(), true) && fits(c.from, c.from_bytes(), false);
    case cudaMemcpyDeviceToHost:
      return fits(c.to, c.to_bytes(), false) && fits(c.from, c.from_bytes(), true);
    case cudaMemcpyDeviceToDevice:
      return fits(c.to, c.to_bytes(), true) && fits(c.from, c.from_bytes(), true);
    case cudaMemcpyDefault:
      return true;
  }
  return false;
}

cudaError_t copy(Copy c, cudaStream_t stream, bool wait) {
  if (c.width == 0 || c.height == 0) return cudaSuccess;
  if (!sound(c)) return cudaErrorInvalidValue;
  CUstream_st* s = stream_at(stream);
  if (!s) return cudaErrorInvalidResourceHandle;
  if (wait && forbidden_by_capture()) return cudaErrorStreamCaptureUnsupported;
  const bool from_pageable = !simulated::on_device(c.from, c.from_bytes()) && !pinned(c.from, c.from_bytes());
  const bool to_pageable = !simulated::on_device(c.to, c.to_bytes()) && !pinned(c.to, c.to_bytes());
  if (from_pageable && !s->capture && !wait) {  // read before the call returns, as the runtime does
    const auto staged = std::make_shared<std::vector<char>>(
        static_cast<const char*>(c.from), static_cast<const char*>(c.from) + c.from_bytes());
    c.from = staged->data();
    simulated::enqueue(stream, [c, staged] { c.run(); });
  } else {
    simulated::enqueue(stream, [c] { c.run(); });
  }
  if (wait || (to_pageable && !s->capture)) flush(*s);
  return cudaSuccess;
}

cudaError_t set(void* data, int value, std::size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  if (!simulated::on_device(data, bytes)) return cudaErrorInvalidValue;
  if (!stream_at(stream)) return cudaErrorInvalidResourceHandle;
  simulated::enqueue(stream, [=] { std::memset(data, value, bytes); });
  return cudaSuccess;
}

cudaError_t create_event(cudaEvent_t* event, bool timed) {
  return call([&] {
    if (!event) return cudaErrorInvalidValue;
    *event = new CUevent_st;
    (*event)->timed = timed;
    state().events.insert(*event);
    return cudaSuccess;
  });
}

// Removes from the living and deletes; the handle's own error where it is not among them.
template <class Handle>
cudaError_t destroy(std::set<Handle>& living, Handle handle) {
  if (living.erase(handle) == 0) return cudaErrorInvalidResourceHandle;
  delete handle;
  return cudaSuccess;
}

}  // namespace

namespace simulated {

void enqueue(cudaStream_t handle, std::function<void()> work) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  CUstream_st* stream = stream_at(handle);
  if (!stream) {
    report(cudaErrorInvalidResourceHandle);
  } else if (stream->capture) {
    stream->capture->nodes.push_back(std::move(work));
  } else {
    stream->pending.push_back(std::move(work));
    if (!s.deferred) flush(*stream);
  }
}

Allocations allocations() {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  Allocations a;
  for (const auto& [address, block] : s.blocks) {
    ++(block.host ? a.host_count : a.count);
    (block.host ? a.host_bytes : a.bytes) += block.bytes;
  }
  a.streams = s.streams.size();
  a.events = s.events.size();
  a.graphs = s.graphs.size() + s.executables.size();
  a.misuses = s.misuses;
  return a;
}

void forget_misuses() {
  const std::lock_guard lock(state().mutex);
  state().misuses.clear();
}

bool on_device(const void* data, std::size_t bytes) {
  const std::lock_guard lock(state().mutex);
  const auto* block = block_around(data, bytes);
  return block && !block->second.host;
}

void set_memory_limit(std::size_t bytes) {
  const std::lock_guard lock(state().mutex);
  state().limit = bytes;
}

void set_device_count(int count) {
  const std::lock_guard lock(state().mutex);
  state().devices = count;
}

void set_deferred(bool deferred) {
  const std::lock_guard lock(state().mutex);
  flush_all();
  state().deferred = deferred;
}

void fail_next(cudaError_t error) {
  const std::lock_guard lock(state().mutex);
  state().next_failure = error;
}

void set_last_error(cudaError_t error) { report(error); }

std::size_t works_run() {
  const std::lock_guard lock(state().mutex);
  return state().works;
}

}  // namespace simulated

// ---- devices

cudaError_t cudaGetDeviceCount(int* count) {
  return call([&] {
    *count = state().devices;
    return cudaSuccess;
  });
}

cudaError_t cudaSetDevice(int device) {
  return call([&] {
    if (device < 0 || device >= state().devices) return cudaErrorInvalidDevice;
    current_device = device;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDevice(int* device) {
  return call([&] {
    *device = current_device;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return call([&] {
    if (device < 0 || device >= state().devices) return cudaErrorInvalidDevice;
    *properties = {};
    std::strcpy(properties->name, "Simulated device");
    properties->major = 9;
    properties->minor = 0;
    properties->totalGlobalMem = state().limit;
    properties->multiProcessorCount = 2;
    properties->warpSize = 32;
    properties->maxThreadsPerBlock = 1024;
    properties->maxThreadsPerMultiProcessor = 2048;
    properties->sharedMemPerBlock = 48 << 10;
    properties->sharedMemPerBlockOptin = 48 << 10;
    properties->l2CacheSize = 1 << 20;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  return call([&] {
    if (device < 0 || device >= state().devices) return cudaErrorInvalidDevice;
    switch (attribute) {
      case cudaDevAttrComputeCapabilityMajor:
        *value = 9;
        return cudaSuccess;
      case cudaDevAttrComputeCapabilityMinor:
        *value = 0;
        return cudaSuccess;
      case cudaDevAttrMultiProcessorCount:
        *value = 2;
        return cudaSuccess;
      default:
        return cudaErrorInvalidValue;
    }
  });
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  return call([&] {
    *total = state().limit;
    *free = state().used < state().limit ? state().limit - state().used : 0;
    return cudaSuccess;
  });
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  return call([] {
    if (forbidden_by_capture()) return cudaErrorStreamCaptureUnsupported;
    flush_all();
    return cudaSuccess;
  });
}

// ---- errors

cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }

cudaError_t cudaPeekAtLastError() { return last_error; }

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    default:
      return "cudaError";
  }
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorInsufficientDriver:
      return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorInvalidResourceHandle:
      return "invalid resource handle";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated:
      return "operation failed due to a previous error during capture";
    default:
      return "simulated error";
  }
}

// ---- memory

cudaError_t cudaMalloc(void** data, std::size_t bytes) {
  return call([&] { return allocate(data, bytes, false); });
}

cudaError_t cudaMallocHost(void** data, std::size_t bytes) {
  return call([&] { return allocate(data, bytes, true); });
}

cudaError_t cudaHostAlloc(void** data, std::size_t bytes, unsigned) { return cudaMallocHost(data, bytes); }

// Freeing is not made to fail: destructors call it.
cudaError_t cudaFree(void* data) {
  const std::lock_guard lock(state().mutex);
  return report(release(data, false));
}

cudaError_t cudaFreeHost(void* data) {
  const std::lock_guard lock(state().mutex);
  return report(release(data, true));
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return call([&] { return copy({to, bytes, from, bytes, bytes, 1, kind}, nullptr, true); });
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return call([&] { return copy({to, bytes, from, bytes, bytes, 1, kind}, stream, false); });
}

cudaError_t cudaMemcpy2D(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                         std::size_t width, std::size_t height, cudaMemcpyKind kind) {
  return call([&] { return copy({to, to_pitch, from, from_pitch, width, height, kind}, nullptr, true); });
}

cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                              std::size_t width, std::size_t height, cudaMemcpyKind kind,
                              cudaStream_t stream) {
  return call([&] { return copy({to, to_pitch, from, from_pitch, width, height, kind}, stream, false); });
}

cudaError_t cudaMemset(void* data, int value, std::size_t bytes) {
  return call([&] {
    const cudaError_t status = set(data, value, bytes, nullptr);
    flush(state().default_stream);
    return status;
  });
}

cudaError_t cudaMemsetAsync(void* data, int value, std::size_t bytes, cudaStream_t stream) {
  return call([&] { return set(data, value, bytes, stream); });
}

// ---- streams

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  return call([&] {
    if (!stream) return cudaErrorInvalidValue;
    *stream = new CUstream_st;
    state().streams.insert(*stream);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithFlags(stream, 0); }

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const std::lock_guard lock(state().mutex);
  if (!state().streams.contains(stream)) return report(cudaErrorInvalidResourceHandle);
  flush(*stream);
  return report(destroy(state().streams, stream));
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return call([&] {
    CUstream_st* s = stream_at(stream);
    if (!s) return cudaErrorInvalidResourceHandle;
    if (s->capture) {
      s->capture_broken = true;
      return cudaErrorStreamCaptureUnsupported;
    }
    flush(*s);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return call([&] {
    CUstream_st* s = stream_at(stream);
    if (!s) return cudaErrorInvalidResourceHandle;
    return s->pending.empty() ? cudaSuccess : cudaErrorNotReady;
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return call([&] {
    if (!stream_at(stream) || !state().events.contains(event)) return cudaErrorInvalidResourceHandle;
    if (event->recorded && !event->happened) flush_all();
    return cudaSuccess;
  });
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  return call([&] {
    if (!stream) return cudaErrorStreamCaptureUnsupported;  // the default stream cannot be captured
    CUstream_st* s = stream_at(stream);
    if (!s) return cudaErrorInvalidResourceHandle;
    if (s->capture) return cudaErrorIllegalState;
    s->capture = std::make_unique<CUgraph_st>();
    s->capture_broken = false;
    s->mode = mode;
    s->captured_by = std::this_thread::get_id();
    return cudaSuccess;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  return call([&] {
    CUstream_st* s = stream_at(stream);
    if (!s) return cudaErrorInvalidResourceHandle;
    if (!s->capture || !graph) return cudaErrorIllegalState;
    *graph = nullptr;
    const std::unique_ptr<CUgraph_st> captured = std::move(s->capture);
    if (s->mode != cudaStreamCaptureModeRelaxed && s->captured_by != std::this_thread::get_id())
      return cudaErrorStreamCaptureWrongThread;
    if (s->capture_broken) return cudaErrorStreamCaptureInvalidated;
    *graph = new CUgraph_st(*captured);
    state().graphs.insert(*graph);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  return call([&] {
    CUstream_st* s = stream_at(stream);
    if (!s) return cudaErrorInvalidResourceHandle;
    *status = !s->capture         ? cudaStreamCaptureStatusNone
              : s->capture_broken ? cudaStreamCaptureStatusInvalidated
                                  : cudaStreamCaptureStatusActive;
    return cudaSuccess;
  });
}

// ---- graphs

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, std::size_t* count) {
  return call([&] {
    if (!state().graphs.contains(graph)) return cudaErrorInvalidValue;
    if (nodes) std::fill_n(nodes, *count, nullptr);
    *count = graph->nodes.size();
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  return call([&] {
    if (!executable || !state().graphs.contains(graph)) return cudaErrorInvalidValue;
    *executable = new CUgraphExec_st{graph->nodes};
    state().executables.insert(*executable);
    return cudaSuccess;
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  return call([&] {
    if (!state().executables.contains(executable)) return cudaErrorInvalidValue;
    if (!stream_at(stream)) return cudaErrorInvalidResourceHandle;
    for (const Work& work : executable->nodes) simulated::enqueue(stream, work);
    return cudaSuccess;
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  const std::lock_guard lock(state().mutex);
  return report(destroy(state().executables, executable));
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  const std::lock_guard lock(state().mutex);
  return report(destroy(state().graphs, graph));
}

// ---- events

cudaError_t cudaEventCreate(cudaEvent_t* event) { return create_event(event, true); }

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return create_event(event, (flags & cudaEventDisableTiming) == 0);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return call([&] {
    if (!stream_at(stream) || !state().events.contains(event)) return cudaErrorInvalidResourceHandle;
    event->recorded = true;
    event->happened = false;
    simulated::enqueue(stream, [event] {
      if (!state().events.contains(event)) return;
      event->happened = true;
      event->at = std::chrono::steady_clock::now();
    });
    return cudaSuccess;
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return call([&] {
    if (!state().events.contains(event)) return cudaErrorInvalidResourceHandle;
    if (event->recorded && !event->happened) flush_all();
    return cudaSuccess;
  });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return call([&] {
    if (!state().events.contains(event)) return cudaErrorInvalidResourceHandle;
    return event->recorded && !event->happened ? cudaErrorNotReady : cudaSuccess;
  });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  return call([&] {
    const auto usable = [](cudaEvent_t e) { return state().events.contains(e) && e->recorded && e->timed; };
    if (!usable(start) || !usable(end)) return cudaErrorInvalidResourceHandle;
    if (!start->happened || !end->happened) return cudaErrorNotReady;
    *milliseconds = std::chrono::duration<float, std::milli>(end->at - start->at).count();
    return cudaSuccess;
  });
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const std::lock_guard lock(state().mutex);
  return report(destroy(state().events, event));
}
