// atrous segment --tile: a photo of any size, in tiles, its results written row by row.
#pragma once

#include <string>
#include <vector>

#include "cli/inputs.h"
#include "cli/segment_options.h"

namespace atrous::cli {

struct TiledPhoto {
  Segmentation result;  // its label map has a size but no labels, and there are no confidences
  std::vector<ClassShare> shares;
  std::vector<std::string> files;  // that were written
};

// shows: whether a line says how far it is. A PNG is read as its rows are needed; other pictures, interlaced
// PNG and those that EXIF turns are decoded whole, and what that takes is noted before. Error(limit) for more
// memory than the machine has. All files appear at the end, or none; `writing` is true after an error that is
// theirs and not the photo's.
TiledPhoto segment_tiled_photo(const SegmentArguments&, const Model&, Session&, const OverlayOptions&,
                               const Input&, bool shows, bool& writing);

}  // namespace atrous::cli
