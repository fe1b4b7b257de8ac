// Memory for what is large, in pages of 2 MB where the system has them: the first touch of a page interrupts
// the program, and a page of 4 KB does so 512 times as often. Nothing but what is touched is taken from the
// system: whole pages are asked for within the memory.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "layers/base/error.h"
#include "layers/base/public.h"

namespace ATROUS_PUBLIC atrous {

// Uninitialised memory, aligned to 64 bytes; nullptr where there is none.
void* allocate_large(std::size_t bytes);
void free_large(void* memory);

// The same for a step's own arrays, given back to the system with it: mapped apart from the heap from 2 MB
// on.
void* map_large(std::size_t bytes);
void unmap_large(void* memory, std::size_t bytes);

// All of this memory is about to be written: the system gives its small pages at once, without an
// interruption for each. Nothing where the memory is so large that it may have large ones.
void expect_writes(void* memory, std::size_t bytes);

// An allocator of std::vector on map_large() that leaves numbers uninitialised where no value is given.
template <class T>
struct LargeAllocator {
  using value_type = T;
  LargeAllocator() = default;
  template <class U>
  LargeAllocator(const LargeAllocator<U>&) {}
  T* allocate(std::size_t n) {
    if (n > static_cast<std::size_t>(-1) / sizeof(T)) throw OutOfMemory();
    if (void* p = map_large(n * sizeof(T))) return static_cast<T*>(p);
    throw OutOfMemory(n * sizeof(T));
  }
  void deallocate(T* p, std::size_t n) { unmap_large(p, n * sizeof(T)); }
  template <class U, class... Arguments>
  void construct(U* at, Arguments&&... arguments) {
    if constexpr (sizeof...(Arguments) == 0) {
      ::new (static_cast<void*>(at)) U;
    } else {
      ::new (static_cast<void*>(at)) U(std::forward<Arguments>(arguments)...);
    }
  }
  bool operator==(const LargeAllocator&) const = default;
};

template <class T>
using LargeVector = std::vector<T, LargeAllocator<T>>;

}  // namespace atrous
