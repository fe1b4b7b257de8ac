#include "runtime/tiles/reduced.h"

#include <algorithm>

#include "layers/base/error.h"

namespace atrous {

namespace {

int blocks(int size, int factor) { return (size + factor - 1) / factor; }

// Where block i begins, how many pixels it has, and the one in its middle.
int block_start(int i, int factor) { return i * factor; }
int block_size(int i, int size, int factor) { return std::min(factor, size - block_start(i, factor)); }
int block_middle(int i, int size, int factor) {
  return block_start(i, factor) + block_size(i, size, factor) / 2;
}

void check_reduction(int width, int height, int factor) {
  if (width < 1 || height < 1 || factor < 1)
    fail(ErrorCode::invalid_argument, "a picture of ", width, "x", height, " reduced ", factor, " times");
}

void check_rows(int width, int rows, int expected_width, int left) {
  if (width != expected_width || rows < 0 || rows > left)
    fail(ErrorCode::invalid_argument, rows, " rows of ", width, " pixels for a picture ", expected_width,
         " wide of which ", left, " are left");
}

}  // namespace

int reduction_to(int longest, int width, int height) { return blocks(std::max(width, height), longest); }

ReducedPhoto::ReducedPhoto(int width, int height, int factor)
    : width_(width), height_(height), factor_(factor) {
  check_reduction(width, height, factor);
  small_ = make_image(blocks(width, factor), blocks(height, factor), 3);
  sums_.resize(small_.row_bytes());
}

void ReducedPhoto::add(const Image& rows) {
  check_rows(rows.width, rows.height, width_, height_ - taken_);
  for (int y = 0; y < rows.height; ++y) {
    const std::uint8_t* from = rows.row(y);
    for (int i = 0; i < small_.width; ++i) {
      std::uint32_t* sums = sums_.data() + 3 * i;
      for (int left = block_size(i, width_, factor_); left > 0; --left, from += 3)
        for (int c = 0; c < 3; ++c) sums[c] += from[c];
    }
    if (++taken_ % factor_ == 0 || taken_ == height_) finish_row();
  }
}

void ReducedPhoto::finish_row() {
  const int y = (taken_ - 1) / factor_;
  const auto high = static_cast<std::uint32_t>(block_size(y, height_, factor_));
  std::uint8_t* to = small_.row(y);
  for (int i = 0; i < small_.width; ++i) {
    const std::uint32_t count = high * static_cast<std::uint32_t>(block_size(i, width_, factor_));
    for (int c = 0; c < 3; ++c)
      to[3 * i + c] =
          static_cast<std::uint8_t>((sums_[static_cast<std::size_t>(3 * i + c)] + count / 2) / count);
  }
  std::ranges::fill(sums_, 0);
}

ReducedLabels::ReducedLabels(int width, int height, int factor)
    : width_(width), height_(height), factor_(factor) {
  check_reduction(width, height, factor);
  small_ = {blocks(width, factor), blocks(height, factor), {}};
  small_.labels.resize(static_cast<std::size_t>(small_.width) * static_cast<std::size_t>(small_.height));
}

void ReducedLabels::add(const LabelMap& rows) {
  check_rows(rows.width, rows.height, width_, height_ - taken_);
  for (int y = 0; y < rows.height; ++y, ++taken_) {
    const int block = taken_ / factor_;
    if (taken_ != block_middle(block, height_, factor_)) continue;
    const std::uint8_t* from = rows.row(y);
    std::uint8_t* to = small_.row(block);
    for (int i = 0; i < small_.width; ++i) to[i] = from[block_middle(i, width_, factor_)];
  }
}

}  // namespace atrous
