#include "runtime/engine/weight_memory.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <utility>
#include <vector>

#include "layers/base/checked.h"
#include "layers/base/error.h"
#include "layers/cpu/parallel.h"

namespace atrous {

namespace {

constexpr std::int64_t block_floats =
    32768;  // of a task: what was read is still in the cache when multiplied

bool is_pending(const Filter& w) { return w.stored || w.factors; }

std::vector<Filter*> pending_filters(Layer& layer) {
  std::vector<Filter*> found;
  if (auto* conv = std::get_if<Conv2d>(&layer)) found = {&conv->weight};
  if (auto* gated = std::get_if<GatedConv2d>(&layer)) found = {&gated->conv.weight};
  if (auto* both = std::get_if<ExpandDepthwise>(&layer))
    found = {&both->expand.weight, &both->depthwise.weight};
  std::erase_if(found, [](const Filter* w) { return !is_pending(*w); });
  return found;
}

// Infinities and NaNs are the floats whose exponent bits are all ones.
bool multiply(const float* from, double factor, std::int64_t count, float* to) {
  constexpr std::uint32_t exponent = 0x7f800000;
  std::uint32_t infinite = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    infinite |= static_cast<std::uint32_t>((std::bit_cast<std::uint32_t>(from[i]) & exponent) == exponent);
    to[i] = static_cast<float>(static_cast<double>(from[i]) * factor);
  }
  return infinite == 0;
}

void write(const Filter& w, float* to, int threads) {
  const std::int64_t row = w.d1 * w.kernel_h * w.kernel_w,
                     rows = std::max<std::int64_t>(1, block_floats / row);
  FirstFailure failure;
  parallel_tasks(threads, divide_up(w.d0, rows), [&](std::int64_t task, int) {
    failure.guard([&] {
      const std::int64_t first = task * rows, last = std::min(first + rows, w.d0);
      if (w.stored)
        w.stored->read(first * row, {to + first * row, static_cast<std::size_t>((last - first) * row)});
      const float* const from = w.stored ? to : w.data.get();
      for (std::int64_t o = first; o < last; ++o)
        if (!multiply(from + o * row, w.factors ? w.factors.get()[o] : 1, row, to + o * row) && w.stored)
          fail(ErrorCode::not_finite, "weights that are infinite or not a number");
    });
  });
  failure.rethrow();
}

}  // namespace

Layer WeightMemory::bring_in(Layer layer, int threads) {
  const std::vector<Filter*> filters = pending_filters(layer);
  std::size_t floats = 0;
  for (const Filter* w : filters) floats += static_cast<std::size_t>(w->elements());
  if (floats == 0) return layer;
  if (memory_ && (memory_.use_count() > 1 || memory_->size() < floats)) memory_.reset();
  if (!memory_) memory_ = std::make_shared<LargeVector<float>>(floats);
  float* to = memory_->data();
  for (Filter* w : filters) {
    write(*w, to, threads);
    w->data = {memory_, to};
    w->stored.reset();
    w->factors.reset();
    to += w->elements();
  }
  return layer;
}

void bring_in(Filter& w) {
  if (!is_pending(w)) return;
  WeightMemory memory;
  const Layer layer = memory.bring_in(Conv2d{.weight = w, .bias = nullptr}, 1);
  w = std::get<Conv2d>(layer).weight;
}

}  // namespace atrous
