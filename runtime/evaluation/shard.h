// One machine's part of a list: image k of it, from 0, belongs to shard k modulo N + 1. Neighbours in a list
// are often of one size and one scene (a folder, a video), so that parts made of every N-th image take about
// the same time, where parts made of runs of neighbours would not.
#pragma once

#include <cstddef>

#include "layers/base/public.h"

namespace ATROUS_PUBLIC atrous {

struct Shard {
  std::size_t number = 1, count = 1;  // `number` from 1 to `count`

  // How many of a list's `all` entries are its own, and which of them the place-th one is, from 0.
  std::size_t size(std::size_t all) const { return all / count + (all % count >= number ? 1 : 0); }
  std::size_t at(std::size_t place) const { return place * count + number - 1; }
  bool operator==(const Shard&) const = default;
};

}  // namespace atrous
