// Reading a PNG row by row: a row, its neighbour above and 64 KB of the file are all that is in memory,
// whatever its size. zlib inflates, since libdeflate inflates whole files only.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "layers/base/public.h"
#include "runtime/tiles/rows.h"
#include "weights_tools/io/file.h"

namespace ATROUS_PUBLIC atrous {

// The pixels are those of read_image() (runtime/image/image_read.h).
class PngRows {
 public:
  // Goes from chunk to chunk, reading no pixels: a file that is cut off is found here. The file stays the
  // caller's. Errors as read_image(), except that only the sides have a limit, 65535, not their product;
  // `name` begins every sentence.
  PngRows(const InputFile& file, std::string_view name);
  ~PngRows();
  PngRows(const PngRows&) = delete;
  PngRows& operator=(const PngRows&) = delete;

  static bool is_png(const InputFile&);

  int width() const { return width_; }
  int height() const { return height_; }
  bool is_interlaced() const { return interlaced_; }  // such are for read_image() alone
  int orientation() const { return orientation_; }    // EXIF's, 1..8, which is not applied

  // The next rows, RGB, as many whole ones as there is room for. With the last row all that is behind it is
  // checked too. Error(malformed) as read_image(); Error(invalid_argument) for an interlaced picture, for a
  // part of a row, and for more rows than are left.
  void read(std::span<std::uint8_t> rows);

 private:
  struct State;
  std::unique_ptr<State> state_;
  int width_ = 0, height_ = 0, orientation_ = 1;
  bool interlaced_ = false;
};

}  // namespace atrous
