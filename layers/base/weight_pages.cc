#include "layers/base/weight_pages.h"

#include <algorithm>
#include <utility>

#include "layers/base/error.h"
#include "layers/base/large_pages.h"
#include "layers/base/sanitizers.h"

namespace atrous {

namespace {

constexpr std::size_t large_page = std::size_t{2} << 20;

// So that AddressSanitizer sees where the weights of one layer end.
constexpr bool each_alone = ATROUS_ADDRESS_SANITIZER;

std::size_t whole_lines(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

thread_local const std::shared_ptr<WeightPages>* current = nullptr;

}  // namespace

WeightPages::WeightPages(std::size_t bytes) {
  size_ = each_alone ? 0 : bytes / large_page * large_page;
  if (size_ == 0) return;
  memory_ = static_cast<std::byte*>(map_large(size_));
  if (!memory_) size_ = 0;
}

WeightPages::~WeightPages() {
  if (memory_) unmap_large(memory_, size_);
}

std::byte* WeightPages::take(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (bytes > size_ - taken_ - lent_) return nullptr;
  const std::size_t begin = taken_;
  taken_ += std::min(whole_lines(bytes), size_ - taken_ - lent_);
  return memory_ + begin;
}

std::byte* WeightPages::lend(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  // Packed weights have columns of zeros.
  const std::size_t room = size_ - taken_, packed = bytes + bytes / 8;
  if (lent_ != 0 || bytes > room || packed > room - bytes) return nullptr;
  lent_ = std::min(whole_lines(bytes), room);
  return memory_ + size_ - lent_;
}

void WeightPages::give_back() {
  const std::lock_guard lock(mutex_);
  lent_ = 0;
}

WeightPagesScope::WeightPagesScope(std::shared_ptr<WeightPages> pages)
    : pages_(std::move(pages)), outer_(std::exchange(current, &pages_)) {}

WeightPagesScope::~WeightPagesScope() { current = outer_; }

std::shared_ptr<std::byte> packed_memory(std::size_t bytes) {
  if (current)
    if (std::byte* const taken = (*current)->take(bytes)) return {*current, taken};
  auto own = std::make_shared<LargeVector<std::byte>>(bytes);
  expect_writes(own->data(), bytes);
  return {own, own->data()};
}

}  // namespace atrous
