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
#include "weights_tools/metadata.h"

namespace ATROUS_PUBLIC atrous {

enum class PngSamples {
  pixels,       // RGB as of read_image() (runtime/image/image_read.h)
  annotations,  // grey samples or palette indices as stored, one channel, or colours, three: what
                // read_labels() (runtime/image/label_read.h) makes labels of
};

class PngRows {
 public:
  // Goes from chunk to chunk, reading no pixels: a file that is cut off is found here. The file stays the
  // caller's. Errors as read_image() or read_labels(), except that only the sides have a limit, 65535, not
  // their product; `name` begins every sentence.
  PngRows(const InputFile& file, std::string_view name, PngSamples = PngSamples::pixels);
  ~PngRows();
  PngRows(const PngRows&) = delete;
  PngRows& operator=(const PngRows&) = delete;

  static bool is_png(const InputFile&);

  int width() const { return width_; }
  int height() const { return height_; }
  bool is_interlaced() const { return interlaced_; }  // such are for read_image() alone
  int orientation() const { return orientation_; }    // EXIF's, 1..8, which is not applied

  int channels() const { return channels_; }           // 3, of annotations maybe 1
  const Palette& palette() const { return palette_; }  // an indexed picture's own

  // The next rows, as many whole ones as there is room for. With the last row all that is behind it is
  // checked too. Errors as read_image() or read_labels(); Error(invalid_argument) for an interlaced picture,
  // for a part of a row, and for more rows than are left.
  void read(std::span<std::uint8_t> rows);

 private:
  struct State;
  std::unique_ptr<State> state_;
  int width_ = 0, height_ = 0, channels_ = 3, orientation_ = 1;
  bool interlaced_ = false;
  Palette palette_;
};

}  // namespace atrous
