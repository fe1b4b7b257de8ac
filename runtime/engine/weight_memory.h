// Convolutions' weights on their way into kernels: read from their file and multiplied by what batch norms
// left to do, just before they are packed, in memory that the next layer uses again.
#pragma once

#include <memory>
#include <span>
#include <utility>

#include "layers/base/large_pages.h"
#include "layers/base/weight_pages.h"
#include "layers/graph/graph.h"

namespace atrous {

class WeightMemory {
 public:
  // pages: where memory is lent from if there is room; null for none.
  explicit WeightMemory(std::shared_ptr<WeightPages> pages = nullptr) : pages_(std::move(pages)) {}

  // The layer with its weights as Filter::data alone. Where they were not so already, they lie in this memory
  // until the next call; a kernel that keeps them longer keeps the memory. The same bits on any number of
  // threads. Error(not_finite) for weights from a file that are infinite or no numbers, Error(io) where the
  // file has become shorter.
  Layer bring_in(Layer, int threads);
  void bring_in(std::span<Filter* const> pending, int threads);  // the same of filters, all of one layer

 private:
  std::shared_ptr<float> lent(std::size_t floats) const;
  std::shared_ptr<float> kept(std::size_t floats);

  std::shared_ptr<WeightPages> pages_;
  std::shared_ptr<LargeVector<float>> memory_;
};

// The same of one filter, in memory of its own.
void bring_in(Filter&);

}  // namespace atrous
