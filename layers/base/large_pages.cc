#include "layers/base/large_pages.h"

#include <cstdint>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace atrous {

namespace {

constexpr std::align_val_t alignment{64};
[[maybe_unused]] constexpr std::size_t page = std::size_t{2} << 20;
// The C library maps what is larger by itself and gives it back whole, and with it the wish for large pages.
// Where memory is cut from a heap, the wish would stay with the heap and make whatever follows there larger.
constexpr std::size_t least_beside_heap = std::size_t{32} << 20;

[[maybe_unused]] std::size_t whole_small_pages(std::size_t bytes) {
  constexpr std::size_t small_page = std::size_t{64} << 10;  // at most, on any system
  return (bytes + small_page - 1) / small_page * small_page;
}

// A system without such pages says no, and nothing is lost.
void ask_for_pages([[maybe_unused]] void* memory, [[maybe_unused]] std::size_t bytes) {
#ifdef __linux__
  const auto begin = reinterpret_cast<std::uintptr_t>(memory);
  const std::uintptr_t first = (begin + page - 1) & ~(page - 1), last = (begin + bytes) & ~(page - 1);
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#endif
}

}  // namespace

void* allocate_large(std::size_t bytes) {
  void* memory = ::operator new[](bytes, alignment, std::nothrow);
  if (memory && bytes > least_beside_heap) ask_for_pages(memory, bytes);
  return memory;
}

void free_large(void* memory) { ::operator delete[](memory, alignment); }

void expect_writes([[maybe_unused]] void* memory, [[maybe_unused]] std::size_t bytes) {
#ifdef MADV_POPULATE_WRITE
  constexpr std::uintptr_t small_page = 4096;  // where pages are larger the system says no
  const auto begin = reinterpret_cast<std::uintptr_t>(memory);
  const std::uintptr_t first = (begin + small_page - 1) & ~(small_page - 1),
                       last = (begin + bytes) & ~(small_page - 1);
  if (first < last && bytes < page)
    madvise(reinterpret_cast<void*>(first), last - first, MADV_POPULATE_WRITE);
#endif
}

void* map_large(std::size_t bytes) {
#ifdef __linux__
  if (bytes >= page) {
    // From a multiple of the page on: elsewhere up to one page less of it could be large. What is mapped
    // beside it for that goes back untouched.
    if (bytes > static_cast<std::size_t>(-1) - 2 * page) return nullptr;
    const std::size_t whole = whole_small_pages(bytes);
    void* const mapped =
        mmap(nullptr, whole + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) return nullptr;
    const auto begin = reinterpret_cast<std::uintptr_t>(mapped), end = begin + whole + page;
    const std::uintptr_t first = (begin + page - 1) & ~(page - 1), last = first + whole;
    if (begin < first) munmap(mapped, first - begin);
    if (last < end) munmap(reinterpret_cast<void*>(last), end - last);
    ask_for_pages(reinterpret_cast<void*>(first), bytes);
    return reinterpret_cast<void*>(first);
  }
#endif
  return allocate_large(bytes);
}

void unmap_large(void* memory, [[maybe_unused]] std::size_t bytes) {
#ifdef __linux__
  if (bytes >= page) {
    munmap(memory, whole_small_pages(bytes));
    return;
  }
#endif
  free_large(memory);
}

}  // namespace atrous
