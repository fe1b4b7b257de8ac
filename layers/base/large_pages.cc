#include "layers/base/large_pages.h"

#include <cstdint>
#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace atrous {

namespace {

constexpr std::align_val_t alignment{64};
// The C library maps what is larger by itself and gives it back whole, and with it the wish for large pages.
// Where memory is cut from a heap, the wish would stay with the heap and make whatever follows there larger.
constexpr std::size_t least_bytes = std::size_t{32} << 20;

}  // namespace

void* allocate_large(std::size_t bytes) {
  void* memory = ::operator new[](bytes, alignment, std::nothrow);
#ifdef __linux__
  // A system without such pages says no, and nothing is lost.
  constexpr std::uintptr_t page = std::uintptr_t{1} << 21;
  const auto begin = reinterpret_cast<std::uintptr_t>(memory);
  const std::uintptr_t first = (begin + page - 1) & ~(page - 1), last = (begin + bytes) & ~(page - 1);
  if (memory && bytes > least_bytes) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#endif
  return memory;
}

void free_large(void* memory) { ::operator delete[](memory, alignment); }

}  // namespace atrous
