#include "runtime/engine/weight_memory.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "layers/base/checked.h"
#include "layers/base/error.h"
#include "layers/cpu/conv/pending_rows.h"
#include "layers/cpu/parallel.h"

namespace atrous {

namespace {

constexpr std::int64_t block_floats = 32768;  // of a task: in the cache from reading to multiplying

std::vector<Filter*> pending_filters(Layer& layer) {
  std::vector<Filter*> found;
  if (auto* conv = std::get_if<Conv2d>(&layer)) found = {&conv->weight};
  if (auto* transposed = std::get_if<ConvTranspose2d>(&layer)) found = {&transposed->weight};
  if (auto* gated = std::get_if<GatedConv2d>(&layer)) found = {&gated->conv.weight};
  if (auto* doubled = std::get_if<DoubledConv2d>(&layer)) found = {&doubled->conv.weight};
  if (auto* both = std::get_if<ExpandDepthwise>(&layer))
    found = {&both->expand.weight, &both->depthwise.weight};
  std::erase_if(found, [](const Filter* w) { return !w->pending; });
  return found;
}

void write(const Filter& w, float* to, int threads) {
  const std::int64_t row = w.d1 * w.kernel_h * w.kernel_w,
                     rows = std::max<std::int64_t>(1, block_floats / row);
  FirstFailure failure;
  parallel_tasks(threads, divide_up(w.d0, rows), [&](std::int64_t task, int) {
    failure.guard([&] {
      const std::int64_t first = task * rows;
      read_rows(w, first, std::min(first + rows, w.d0), to + first * row);
    });
  });
  failure.rethrow();
}

}  // namespace

std::shared_ptr<float> WeightMemory::lent(std::size_t floats) const {
  std::byte* const lent = pages_ ? pages_->lend(floats * sizeof(float)) : nullptr;
  if (!lent) return nullptr;
  return {reinterpret_cast<float*>(lent), [pages = pages_](float*) { pages->give_back(); }};
}

std::shared_ptr<float> WeightMemory::kept(std::size_t floats) {
  // Memory of a layer much larger goes, before that of all the packed ones is there.
  constexpr std::size_t much = 4;
  if (memory_ && (memory_.use_count() > 1 || memory_->size() < floats || memory_->size() / much > floats))
    memory_.reset();
  if (!memory_) memory_ = std::make_shared<LargeVector<float>>(floats);
  return {memory_, memory_->data()};
}

void WeightMemory::bring_in(std::span<Filter* const> filters, int threads) {
  std::size_t floats = 0;
  for (const Filter* w : filters) floats += static_cast<std::size_t>(w->elements());
  if (floats == 0) return;
  std::shared_ptr<float> memory = lent(floats);
  if (!memory) memory = kept(floats);
  float* to = memory.get();
  for (Filter* w : filters) {
    write(*w, to, threads);
    w->data = {memory, to};
    w->pending.reset();
    to += w->elements();
  }
}

Layer WeightMemory::bring_in(Layer layer, int threads) {
  bring_in(pending_filters(layer), threads);
  return layer;
}

void bring_in(Filter& w) {
  Filter* const filters[] = {&w};
  if (w.pending) WeightMemory().bring_in(filters, 1);
}

}  // namespace atrous
