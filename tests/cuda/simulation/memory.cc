// Memory of the device and page-locked memory: plain memory of the process, between guards; and copies.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "tests/cuda/simulation/state.h"
#include "tests/support/sanitizers.h"

#if ATROUS_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(data, bytes) ((void)(data), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(data, bytes) ((void)(data), (void)(bytes))
#endif

using namespace simulated;

namespace {

constexpr std::size_t alignment = 256, guard_bytes = 256;
constexpr int fresh = 0xff, guard = 0xa5;

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
}  // namespace

namespace simulated {

bool on_device(const void* data, std::size_t bytes) {
  const std::lock_guard lock(state().mutex);
  const auto* block = block_around(data, bytes);
  return block && !block->second.host;
}

}  // namespace simulated

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
