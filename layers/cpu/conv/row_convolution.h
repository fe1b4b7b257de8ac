// A convolution computed a row of outputs at a time, from pixels that row_tile.h reads where they lie. In
// NHWC the taps of a kernel's row lie side by side in memory, so a kernel of k rows is k stretches of
// kernel_w * channels floats; neighbouring pixels' stretches overlap. Only pixels at the left and right edge
// are computed from a copy with its padding.
#pragma once

#include <cstddef>
#include <span>

#include "layers/cpu/conv/packed_columns.h"
#include "layers/cpu/isa.h"

namespace atrous {

class RowConvolution {
 public:
  // Of an ungrouped, undilated convolution, whose own padding is not read: `top` and `left` are what lies
  // before the first row and column, and behind the last ones there is as much as the outputs ask for.
  RowConvolution(const Conv2d&, Isa, std::int64_t top, std::int64_t left);

  std::size_t bytes() const { return columns_.bytes(); }  // of the packed weights
  // Products of an output pixel, those that merely fill vectors too.
  std::int64_t products() const { return kernel_h_ * row_floats() * columns_.columns(); }
  std::size_t workspace_bytes(std::int64_t width, int threads) const;  // for rows of so many outputs

  struct Row {
    float* out;  // the first output pixel; the others lie `pitch` floats apart
    std::int64_t pitch;
    std::int64_t width;               // in output pixels
    const float* residual = nullptr;  // likewise, or null
    std::int64_t residual_pitch = 0;
  };
  // Row y of the outputs of image n, by the thread of this number.
  void run(ConstView in, std::int64_t n, std::int64_t y, const Row&, std::span<std::byte> workspace,
           int thread) const;

 private:
  std::int64_t row_floats() const { return kernel_w_ * channels_; }  // of a kernel's row
  // Input columns under `count` neighbouring output pixels.
  std::int64_t columns_under(std::int64_t count) const { return (count - 1) * stride_ + kernel_w_; }
  std::int64_t copy_floats(std::int64_t width) const;
  void run_copied(ConstView in, std::int64_t n, std::int64_t y, const Row&, std::int64_t first,
                  std::int64_t count, float* copy) const;
  void run_pixels(const Row&, std::int64_t first, std::int64_t count, const float* a,
                  std::int64_t to_next_row, std::int64_t first_ky, std::int64_t last_ky) const;
  void copy_row(ConstView in, std::int64_t n, std::int64_t y, std::int64_t left, std::int64_t columns,
                float* to) const;

  std::int64_t kernel_h_, kernel_w_, channels_, stride_, top_, left_;
  ActivationKind activation_;
  RowTiles tiles_;
  PackedColumns columns_;
};

}  // namespace atrous
