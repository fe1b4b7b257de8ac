#include "layers/cpu/conv/row_convolution.h"

#include <algorithm>

#include "layers/base/checked.h"

namespace atrous {

RowConvolution::RowConvolution(const Conv2d& layer, Isa isa, std::int64_t top, std::int64_t left)
    : kernel_h_(layer.weight.kernel_h),
      kernel_w_(layer.weight.kernel_w),
      channels_(layer.weight.d1),
      stride_(layer.stride),
      top_(top),
      left_(left),
      activation_(layer.activation),
      tiles_(row_tiles(isa)),
      columns_(layer, tiles_) {}

std::int64_t RowConvolution::copy_floats(std::int64_t width) const {
  return (kernel_h_ * columns_under(width) * channels_ + 15) / 16 * 16;
}

std::size_t RowConvolution::workspace_bytes(std::int64_t width, int threads) const {
  return static_cast<std::size_t>(checked_product(
      {threads, copy_floats(width), static_cast<std::int64_t>(sizeof(float))}, "conv2d: workspace"));
}

// Pixels whose kernel lies between the picture's left and right edge are computed where their inputs lie,
// without the kernel's rows above and below the picture; the others from a copy with its padding.
void RowConvolution::run(ConstView in, std::int64_t n, std::int64_t y, const Row& row,
                         std::span<std::byte> workspace, int thread) const {
  float* copy = reinterpret_cast<float*>(workspace.data()) + thread * copy_floats(row.width);
  const std::int64_t top = y * stride_ - top_, first_ky = std::max<std::int64_t>(0, -top),
                     last_ky = std::min(kernel_h_, in.shape.h - top), spare = in.shape.w - kernel_w_ + left_;
  const std::int64_t first = (left_ + stride_ - 1) / stride_,
                     last = spare < 0 ? 0 : std::min(spare / stride_ + 1, row.width);
  if (!in.dense() || first_ky >= last_ky || first >= last) {
    run_copied(in, n, y, row, 0, row.width, copy);
    return;
  }
  run_copied(in, n, y, row, 0, first, copy);
  run_pixels(row, first, last - first, in.pixel(n, top + first_ky, first * stride_ - left_),
             in.shape.w * channels_, first_ky, last_ky);
  run_copied(in, n, y, row, last, row.width - last, copy);
}

void RowConvolution::run_copied(ConstView in, std::int64_t n, std::int64_t y, const Row& row,
                                std::int64_t first, std::int64_t count, float* copy) const {
  if (count == 0) return;
  const std::int64_t columns = columns_under(count);
  for (std::int64_t ky = 0; ky < kernel_h_; ++ky)
    copy_row(in, n, y * stride_ - top_ + ky, first * stride_ - left_, columns,
             copy + ky * columns * channels_);
  run_pixels(row, first, count, copy, columns * channels_, 0, kernel_h_);
}

// Output pixels [first, first + count) from the kernel's rows [first_ky, last_ky); `a` is the input of the
// first pixel at the first of them, and a row lies `to_next_row` floats behind the one before.
void RowConvolution::run_pixels(const Row& row, std::int64_t first, std::int64_t count, const float* a,
                                std::int64_t to_next_row, std::int64_t first_ky, std::int64_t last_ky) const {
  for (const PackedColumns::Group& group : columns_.groups())
    tiles_.run({.a = a,
                .a_pitch = stride_ * channels_,
                .segments = last_ky - first_ky,
                .to_next_segment = to_next_row,
                .depth = row_floats(),
                .b = columns_.weights() + columns_.offset(group) +
                     first_ky * row_floats() * group.vectors * tiles_.lanes,
                .bias = columns_.bias(group),
                .c = row.out + first * row.pitch + group.first,
                .c_pitch = row.pitch,
                .residual = row.residual ? row.residual + first * row.residual_pitch + group.first : nullptr,
                .residual_pitch = row.residual_pitch,
                .columns = group.columns,
                .activation = activation_},
               group.vectors, count);
}

// Columns [left, left + columns) of row y of the picture, zeros where there are none.
void RowConvolution::copy_row(ConstView in, std::int64_t n, std::int64_t y, std::int64_t left,
                              std::int64_t columns, float* to) const {
  const std::int64_t c = channels_;
  const bool inside = y >= 0 && y < in.shape.h;
  const std::int64_t first = inside ? std::clamp<std::int64_t>(-left, 0, columns) : columns,
                     last = inside ? std::clamp<std::int64_t>(in.shape.w - left, first, columns) : columns;
  std::fill(to, to + first * c, 0.f);
  if (in.dense() && first < last)
    std::copy_n(in.pixel(n, y, left + first), (last - first) * c, to + first * c);
  else
    for (std::int64_t x = first; x < last; ++x) std::copy_n(in.pixel(n, y, left + x), c, to + x * c);
  std::fill(to + last * c, to + columns * c, 0.f);
}

}  // namespace atrous
