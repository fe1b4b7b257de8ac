// Writing a PNG row by row: a megabyte of filtered rows at a time is compressed and handed on. The pixels and
// the settings are those of encode_png() (runtime/image/png.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "layers/base/public.h"
#include "runtime/image/image.h"
#include "weights_tools/metadata.h"

namespace ATROUS_PUBLIC atrous {

// Takes the file's bytes as they are made, from its beginning.
using ByteSink = std::function<void(std::span<const std::byte>)>;

class PngWriter {
 public:
  // Grey, RGB or RGBA of 8 bits: 1, 3 or 4 channels. Error(invalid_argument) for others, and for sides below
  // 1.
  PngWriter(int width, int height, int channels, ByteSink);
  // Labels as an indexed PNG.
  PngWriter(int width, int height, const Palette&, ByteSink);
  ~PngWriter();
  PngWriter(PngWriter&&) noexcept;
  PngWriter& operator=(PngWriter&&) noexcept;

  // The next rows. Error(invalid_argument) for a part of a row, for more rows than the picture has, and for a
  // label without a colour. What the sink throws passes through.
  void write(std::span<const std::uint8_t> rows);

  // Behind the last row: the file's end. Error(invalid_argument) where rows are missing.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace atrous
