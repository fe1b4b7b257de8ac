#include "layers/base/large_pages.h"

#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace atrous {

namespace {

constexpr std::size_t page = std::size_t{1} << 21;

std::align_val_t alignment_of(std::size_t bytes) {
  return std::align_val_t{bytes < page ? std::size_t{64} : page};
}

}  // namespace

void* allocate_large(std::size_t bytes) {
  void* memory = ::operator new[](bytes, alignment_of(bytes), std::nothrow);
#ifdef __linux__
  // A system without such pages says no, and nothing is lost.
  if (memory && bytes >= page) madvise(memory, bytes / page * page, MADV_HUGEPAGE);
#endif
  return memory;
}

void free_large(void* memory, std::size_t bytes) { ::operator delete[](memory, alignment_of(bytes)); }

}  // namespace atrous
