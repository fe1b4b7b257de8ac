// The CUDA runtime's functions, as far as the back end calls them: devices, errors, streams, graphs, events.
#include <algorithm>
#include <chrono>
#include <cstring>

#include "tests/cuda/simulation/state.h"

using namespace simulated;

namespace simulated {

void pass(double milliseconds) {
  const std::lock_guard lock(state().mutex);
  state().passed += std::chrono::duration<double, std::milli>(milliseconds);
}

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

void fail_after(std::size_t calls, cudaError_t error, bool for_good) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  s.failure = error;
  s.calls_to_failure = calls;
  s.for_good = for_good;
  s.failed = false;
}

bool has_failed() {
  const std::lock_guard lock(state().mutex);
  return state().failed;
}

void stop_failing() {
  fail_after(0, cudaSuccess);
  last_error = cudaSuccess;
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
  const std::lock_guard lock(state().mutex);
  CUstream_st* const s = stream_at(stream);
  const std::unique_ptr<CUgraph_st> captured = s ? std::move(s->capture) : nullptr;  // over in any case
  return call([&] {
    if (!s) return cudaErrorInvalidResourceHandle;
    if (!captured || !graph) return cudaErrorIllegalState;
    *graph = nullptr;
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

namespace {

cudaError_t create_event(cudaEvent_t* event, bool timed) {
  return call([&] {
    if (!event) return cudaErrorInvalidValue;
    *event = new CUevent_st;
    (*event)->timed = timed;
    state().events.insert(*event);
    return cudaSuccess;
  });
}
}  // namespace

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
      event->at = std::chrono::steady_clock::now() +
                  std::chrono::duration_cast<std::chrono::steady_clock::duration>(state().passed);
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
