// How Winograd's tiles cover a map: one axis at a time, a tile of the map being one tile of each axis.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "layers/cpu/conv/winograd_scheme.h"

namespace atrous::winograd {

struct AxisTile {
  Scheme scheme;
  std::int64_t image;
  std::int64_t first_input;   // coordinate of the first input that the scheme reads; may lie in the padding
  std::int64_t first_output;  // the others follow at the dilation, inputs and outputs alike
  int outputs;                // that exist: at most the scheme's
};

struct Axis {
  std::vector<AxisTile> tiles;
  std::vector<Scheme> schemes;  // of every family in use one that has all its weights
  std::int64_t products = 0;    // points of all tiles together
  std::vector<std::int64_t>
      ranks;  // [filters][tiles + 1]: how many points of the tiles before this one have the weights

  std::vector<std::array<float, 3>> filters;  // those schemes' together: the row of G of each

  int filter_count() const { return static_cast<int>(filters.size()); }
  // The axis's own number of the first weights of a scheme.
  int first_filter(Scheme) const;
  // How many points of the tiles before `tile` have the weights.
  std::int64_t rank(int filter, std::int64_t tile) const {
    return ranks[static_cast<std::size_t>(filter) * (tiles.size() + 1) + static_cast<std::size_t>(tile)];
  }
};

// The axis of an output of `size` pixels, each reading three taps at `dilation` from `padding` before it on,
// of an input of `input_size`. With `images` the tiles are repeated for each.
Axis cover(std::int64_t images, std::int64_t size, std::int64_t input_size, std::int64_t padding,
           std::int64_t dilation, int largest_tile);

// The same of an input of half as many pixels, each of which is repeated, at dilation 1, with one pixel of
// padding.
Axis cover_doubled(std::int64_t images, std::int64_t size);

// The same at stride 2 and dilation 1.
Axis cover_strided(std::int64_t images, std::int64_t size, std::int64_t padding);

}  // namespace atrous::winograd
