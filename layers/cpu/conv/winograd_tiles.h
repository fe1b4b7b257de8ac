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
  std::vector<Scheme> schemes;  // of every family in use the one with the most points
  int points = 0;               // of those schemes together
  std::int64_t products = 0;    // points of all tiles together
  std::vector<std::int64_t>
      ranks;  // [points][tiles + 1]: how many of the tiles before this one use the point

  std::vector<std::array<float, 3>> filters;  // [points]: the row of G of each

  // The axis's own number of the first point of a scheme.
  int first_point(Scheme) const;
  // How many of the tiles before `tile` use the point.
  std::int64_t rank(int point, std::int64_t tile) const {
    return ranks[static_cast<std::size_t>(point) * (tiles.size() + 1) + static_cast<std::size_t>(tile)];
  }
};

// The axis of an output of `size` pixels, each reading three taps at `dilation` from `padding` before it on,
// of an input of `input_size`. With `images` the tiles are repeated for each.
Axis cover(std::int64_t images, std::int64_t size, std::int64_t input_size, std::int64_t padding,
           std::int64_t dilation, int largest_tile);

}  // namespace atrous::winograd
