// Memory for a network's packed weights: those of all its layers together, in pages of 2 MB, of which a layer
// alone fills few or none. They are taken from the system in a sixth of the time, and all given back at once.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>

namespace atrous {

class WeightPages {
 public:
  // For so many bytes, rounded down to whole pages: what was only almost needed takes no memory. Nothing is
  // touched yet. Where the system has none, or for less than a page, packed_memory() is as without this.
  explicit WeightPages(std::size_t bytes);
  ~WeightPages();
  WeightPages(const WeightPages&) = delete;
  WeightPages& operator=(const WeightPages&) = delete;

  std::byte* take(std::size_t bytes);  // by any thread, aligned to 64 bytes; nullptr where no room is left

  // Memory at the end for a layer's weights on their way into their packed form, which takes about as much:
  // what is taken later will lie there. Until it is given back nothing is taken of it and no more lent.
  // nullptr where there would not be room for both.
  std::byte* lend(std::size_t bytes);
  void give_back();

 private:
  std::mutex mutex_;
  std::byte* memory_ = nullptr;
  std::size_t size_ = 0, taken_ = 0, lent_ = 0;
};

// While it lives packed_memory() of the thread that made it takes from these pages.
class WeightPagesScope {
 public:
  explicit WeightPagesScope(std::shared_ptr<WeightPages>);
  ~WeightPagesScope();
  WeightPagesScope(const WeightPagesScope&) = delete;
  WeightPagesScope& operator=(const WeightPagesScope&) = delete;

 private:
  std::shared_ptr<WeightPages> pages_;
  const std::shared_ptr<WeightPages>* outer_;
};

// Uninitialised memory for weights, about to be written, aligned to 64 bytes: of the scope's pages, which
// then last as long as it does, or its own. Error(limit) where there is none.
std::shared_ptr<std::byte> packed_memory(std::size_t bytes);

}  // namespace atrous
