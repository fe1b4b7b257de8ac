// Pictures made smaller by a whole factor while their rows pass, to be looked at: what is in memory is the
// small picture.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/image/image.h"

namespace atrous {

// The least factor that brings both sides to at most `longest` pixels.
int reduction_to(int longest, int width, int height);

// Of a photo each pixel is the mean of factor x factor, rounded, as of Pillow's Image.reduce(); at the right
// and bottom edges of fewer.
class ReducedPhoto {
 public:
  // Error(invalid_argument) for a side or a factor below 1.
  ReducedPhoto(int width, int height, int factor);

  // The next rows, RGB. Error(invalid_argument) for another width and for more rows than are left.
  void add(const Image& rows);
  // After the last row.
  const Image& picture() const { return small_; }

 private:
  void finish_row();

  int width_, height_, factor_;
  int taken_ = 0;  // rows
  Image small_;
  std::vector<std::uint32_t> sums_;  // of the row under way
};

// Of a label map each pixel is the one in the middle of factor x factor: labels have no mean.
class ReducedLabels {
 public:
  ReducedLabels(int width, int height, int factor);
  void add(const LabelMap& rows);
  const LabelMap& map() const { return small_; }

 private:
  int width_, height_, factor_;
  int taken_ = 0;
  LabelMap small_;
};

}  // namespace atrous
