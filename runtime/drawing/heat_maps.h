// Numbers as colours: the channels of a map, probabilities, what a value depends on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "layers/base/tensor.h"
#include "runtime/drawing/lettering.h"
#include "runtime/image/image.h"

namespace atrous {

// The colour of v, -1 to 1; what lies beyond is drawn as these. Zero is nearly black, positive numbers go
// over red and orange to light yellow, negative ones over blue to light cyan, and lightness grows by the same
// step for the same step of |v|. In OKLab (Ottosson 2020, "A perceptual color space for image processing"):
//
//   lightness 0.18 + 0.77 |v|, chroma c sin(0.8 pi |v|), hue from h0 to h1
//   v > 0: c = 0.19, hue 25 to 105 degrees; v < 0: c = 0.15, hue 275 to 200
Colour heat_colour(double v);

// What the colours stand for, for with_legend(): -1, -0.5, 0, 0.5 and 1, or 0 to 1 alone, with a word for 1.
std::vector<LegendEntry> heat_legend(bool with_negative, const std::string& of_one);

// One channel of a map of one image, its values divided by `one`. A value becomes a square of whole pixels so
// that the longer side is about `side` pixels long; of larger maps a pixel is the mean of a square
// of values. Error(invalid_argument) for a channel that is not there and for a side below 1.
Image heat_map(ConstView map, std::int64_t channel, double one, int side);

// How many values along a side a pixel of heat_map() is the mean of; 1 where values become squares.
std::int64_t values_a_pixel(ConstView map, int side);

// The RGB picture in grey and darker, under colours of cells: squares of `cell` pixels, `across` of them in a
// row, 0 to 1 each. Error(invalid_argument) unless there is a number for each.
Image heat_over(const Image& picture, const std::vector<double>& cells, int cell, int across);

// The outline of a rectangle, as wide as a contour (pictures.h), on an RGB picture; what lies outside is cut
// off.
void draw_frame(Image&, int left, int top, int right, int bottom, const Colour&);

}  // namespace atrous
