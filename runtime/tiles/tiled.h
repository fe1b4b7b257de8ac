// Pictures of any size, seen by the network in tiles that overlap: memory is that of a row of tiles, whatever
// the picture's height, and rows go out as soon as no tile below reaches them.
//
//   tiles       all of one size, the tile's, or the picture's where that is smaller; the last one of a row or
//               a column ends with the picture, and so shares more with its neighbour
//   logits      low[t] of tile t grows bilinearly to the tile's size, as everywhere (Session::growth)
//   weight      w[t](y, x) = v(y) * v(x), along a side of n pixels v(i) = min(i + 1, n - i, overlap + 1):
//               the distance to the tile's edge
//   picture     logits(y, x) = sum of w[t] * grown[t] over the tiles on the pixel / sum of w[t]
//
// so that where one tile ends the other has taken over step by step, and a pixel of one tile alone has that
// tile's logits. Labels and confidences are those of the sum (upsample_argmax.h). Where one tile holds the
// picture they are segment()'s without a resize, to the bit. Bitwise the same for any number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "layers/base/public.h"
#include "runtime/engine/session.h"
#include "runtime/image/image.h"
#include "runtime/segment/model.h"
#include "runtime/segment/segmenter.h"
#include "runtime/tiles/rows.h"

namespace ATROUS_PUBLIC atrous {

struct Tiling {
  int tile = 0, overlap = 0;  // pixels of the network's input; neighbouring tiles share `overlap`
  bool operator==(const Tiling&) const = default;
};

// Error(invalid_argument), with both numbers, unless 1 <= tile <= max_picture_side and 0 <= overlap < tile.
void check(const Tiling&);

// "tiles of 520 pixels that share 64, blended"
std::string in_words(const Tiling&);

inline bool fits_one_tile(const Tiling& t, int width, int height) {
  return width <= t.tile && height <= t.tile;
}

// Where tiles of min(tile, size) pixels begin along a side.
std::vector<int> tile_starts(const Tiling&, int size);

// Bytes that a picture so wide takes beside the session's own: the rows of pixels and the low-resolution
// logits of the tiles that are still needed, a row's logits for each thread, a band of results.
// Error(limit) on overflow. `logits`: those of a band of rows too.
std::size_t tiled_bytes(const Model&, const Tiling&, int width, int height, int threads, bool logits = false);

struct TiledOptions {
  Tiling tiling;
  bool confidence = true;
  std::string output = "out";            // or "aux"
  std::optional<double> threshold = {};  // as SegmentOptions::threshold
  bool logits = false;                   // LabelRows::logits too
};

// Some rows of the picture from row y on, valid during the call.
struct LabelRows {
  int y = 0;
  const Image& photo;
  const LabelMap& labels;
  std::span<const float> confidence;  // empty unless asked for
  ConstView logits = {};              // [1, rows, width, Model::logits()], of no pixels unless asked for
};

// What a picture took.
struct TiledRun {
  int input_height = 0, input_width = 0;  // what the network saw at once
  std::int64_t tiles = 0;
  double prepare_seconds = 0, network_seconds = 0, label_seconds = 0;
};

// All rows from top to bottom. The model's own resize rule is not applied. Errors as check(), segment() and
// the source; what the sink throws reaches the caller as it is.
TiledRun segment_tiled(Session&, const Model&, const RowSource&, const TiledOptions&,
                       const std::function<void(const LabelRows&)>& sink);

// The same of a picture in memory, at once.
Segmentation segment_tiled(Session&, const Model&, const Image& photo, const TiledOptions&);

// The logits of every pixel, [1, height, width, Model::logits()]. Errors as segment_tiled().
Tensor tiled_logits(Session&, const Model&, const Image& photo, const Tiling&,
                    const std::string& output = "out");

}  // namespace atrous
