// A checkpoint in memory: torch's state dict, names to tensors, as weights_tools/ fills it from files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "layers/base/dtype.h"
#include "layers/base/public.h"
#include "layers/base/stored_weights.h"

namespace ATROUS_PUBLIC atrous {

// One entry: contiguous, row-major, little-endian, aligned to its element size, immutable, possibly sharing
// its memory with others. A zero-dimensional tensor has an empty shape and one element.
struct StateTensor {
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::shared_ptr<const std::byte> data;
  // Of fp32 that was left in its file: in place of data, and bytes() are not to be had.
  std::shared_ptr<const StoredWeights> stored = nullptr;

  std::int64_t elements() const;  // Error(limit) on overflow
  std::span<const std::byte> bytes() const;
};

// The values as floats: shared, not copied, where they are fp32 in memory already; f16, bf16 and integers
// exactly where fp32 can, f64 rounded to nearest.
std::shared_ptr<const float> to_float(const StateTensor&);

std::string shape_text(std::span<const std::int64_t>);  // "[21, 512, 1, 1]"

// Names in the order of the file.
class StateDict {
 public:
  using Entry = std::pair<std::string, StateTensor>;

  void add(std::string name, StateTensor);               // Error(malformed) if the name is already there
  const StateTensor* find(std::string_view name) const;  // nullptr if absent
  std::size_t index_of(std::string_view name) const;     // in entries(); size() if absent
  bool has(std::string_view module) const;  // whether a key is this or begins with this and a dot
  const std::vector<Entry>& entries() const { return entries_; }
  std::size_t size() const { return entries_.size(); }

 private:
  std::vector<Entry> entries_;
  std::map<std::string, std::size_t, std::less<>> index_;  // ordered, so that a module's keys lie together
};

}  // namespace atrous
