// Weights that are still in a file.
#pragma once

#include <cstdint>
#include <span>

#include "layers/base/public.h"

namespace ATROUS_PUBLIC atrous {

class StoredWeights {
 public:
  virtual ~StoredWeights() = default;
  // The floats [first, first + out.size()) of the tensor, by any thread. Error(io) where the file has become
  // shorter.
  virtual void read(std::int64_t first, std::span<float> out) const = 0;
};

}  // namespace atrous
