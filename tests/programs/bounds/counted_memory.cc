#include "tests/programs/bounds/counted_memory.h"

#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<std::ptrdiff_t> held{0}, peak{0};

void* counted(void* p) {
  if (!p) return p;
  const auto bytes = static_cast<std::ptrdiff_t>(::malloc_usable_size(p));
  const std::ptrdiff_t now = held.fetch_add(bytes) + bytes;
  for (std::ptrdiff_t known = peak; known < now && !peak.compare_exchange_weak(known, now);) {
  }
  return p;
}

void* uncounted(void* p) {
  if (p) held.fetch_sub(static_cast<std::ptrdiff_t>(::malloc_usable_size(p)));
  return p;
}

}  // namespace

extern "C" {
void* __real_malloc(std::size_t);
void* __real_calloc(std::size_t, std::size_t);
void* __real_realloc(void*, std::size_t);
void __real_free(void*);

void* __wrap_malloc(std::size_t bytes) { return counted(__real_malloc(bytes)); }
void* __wrap_calloc(std::size_t count, std::size_t bytes) { return counted(__real_calloc(count, bytes)); }
void* __wrap_realloc(void* p, std::size_t bytes) {
  uncounted(p);
  void* const moved = __real_realloc(p, bytes);
  if (!moved) counted(p);
  return counted(moved);
}
void __wrap_free(void* p) { __real_free(uncounted(p)); }
}

// The forms without an alignment or for arrays that are not here call these.
void* operator new(std::size_t bytes) {
  if (void* const p = counted(__real_malloc(std::max<std::size_t>(bytes, 1)))) return p;
  throw std::bad_alloc();
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  void* p = nullptr;
  if (::posix_memalign(&p, static_cast<std::size_t>(alignment), bytes) == 0) return counted(p);
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept { __real_free(uncounted(p)); }
void operator delete(void* p, std::size_t) noexcept { __real_free(uncounted(p)); }
void operator delete(void* p, std::align_val_t) noexcept { __real_free(uncounted(p)); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { __real_free(uncounted(p)); }

namespace atrous::testing {

std::size_t bytes_held() { return static_cast<std::size_t>(std::max<std::ptrdiff_t>(held, 0)); }
std::size_t peak_bytes_held() { return static_cast<std::size_t>(std::max<std::ptrdiff_t>(peak, 0)); }
void forget_peak() { peak = held.load(); }

}  // namespace atrous::testing
