#include "runtime/evaluation/upsampled_scores.h"

#include <algorithm>

#include "layers/base/error.h"
#include "layers/ops/resize.h"

namespace atrous {

namespace {

constexpr std::int64_t band_rows = 32;

// One row of the low-resolution map at full width: to[x][c].
void widen(ConstView logits, std::int64_t y, const std::vector<ResizeTap>& columns, float* to) {
  const std::int64_t classes = logits.shape.c;
  for (const ResizeTap& tap : columns) {
    const float *low = logits.pixel(0, y, tap.low), *high = logits.pixel(0, y, tap.high);
    for (std::int64_t c = 0; c < classes; ++c) to[c] = (1.f - tap.f) * low[c] + tap.f * high[c];
    to += classes;
  }
}

void blend(const std::vector<float>& top, const std::vector<float>& bottom, float f, float* to) {
  for (std::size_t i = 0; i < top.size(); ++i) to[i] = (1.f - f) * top[i] + f * bottom[i];
}

// The same of one channel, as the logits 0 and z of two classes.
void blend_binary(const std::vector<float>& top, const std::vector<float>& bottom, float f, float* to) {
  for (std::size_t i = 0; i < top.size(); ++i) {
    to[2 * i] = 0;
    to[2 * i + 1] = (1.f - f) * top[i] + f * bottom[i];
  }
}

std::vector<ResizeTap> taps(std::int64_t in_size, bool align_corners, double whole, int out_size) {
  std::vector<ResizeTap> all(static_cast<std::size_t>(out_size));
  resize_taps({.mode = ResizeMode::bilinear, .align_corners = align_corners}, in_size,
              whole > 0 ? whole : out_size, all);
  return all;
}

LabelMap rows_of(const LabelMap& map, std::int64_t first, std::int64_t count) {
  const std::uint8_t* begin = map.row(static_cast<int>(first));
  return {map.width, static_cast<int>(count), {begin, begin + count * map.width}};
}

}  // namespace

void add_scores(ScoreHistogram& histogram, ConstView logits, const LabelMap& truth, int ignore, int threads) {
  if (logits.shape.c != 1 || histogram.classes != 2) return histogram.add(logits, truth, ignore, threads);
  Tensor both({logits.shape.n, logits.shape.h, logits.shape.w, 2});
  float* to = both.data();
  for (std::int64_t p = 0; p < logits.shape.pixels(); ++p, to += 2) {
    to[0] = 0;
    to[1] = logits.data[p * logits.pitch];
  }
  histogram.add(both.view(), truth, ignore, threads);
}

void add_upsampled_scores(ScoreHistogram& histogram, ConstView logits, const Growth& growth,
                          const LabelMap& truth, int ignore) {
  check(truth, "truth");
  const bool binary = logits.shape.c == 1 && histogram.classes == 2;
  if (logits.shape.n != 1 || (logits.shape.c != histogram.classes && !binary))
    fail(ErrorCode::invalid_argument, "scores: expected logits of one image and ", histogram.classes,
         " classes, found ", logits.shape);
  const std::int64_t classes = histogram.classes, channels = logits.shape.c;
  const std::vector<ResizeTap> rows = taps(logits.shape.h, growth.align_corners, growth.out_h, truth.height),
                               columns =
                                   taps(logits.shape.w, growth.align_corners, growth.out_w, truth.width);
  Tensor band({1, std::min<std::int64_t>(band_rows, truth.height), truth.width, classes});
  std::vector<float> top(static_cast<std::size_t>(truth.width * channels)), bottom(top.size());
  std::int64_t top_row = -1, bottom_row = -1;
  for (std::int64_t first = 0; first < truth.height; first += band_rows) {
    const std::int64_t count = std::min<std::int64_t>(band_rows, truth.height - first);
    for (std::int64_t y = 0; y < count; ++y) {
      const ResizeTap& tap = rows[static_cast<std::size_t>(first + y)];
      if (bottom_row == tap.low) {
        std::swap(top, bottom);
        std::swap(top_row, bottom_row);
      }
      if (top_row != tap.low) widen(logits, top_row = tap.low, columns, top.data());
      if (bottom_row != tap.high) widen(logits, bottom_row = tap.high, columns, bottom.data());
      (binary ? blend_binary : blend)(top, bottom, tap.f, band.view().pixel(0, y, 0));
    }
    const ConstView filled{band.data(), {1, count, truth.width, classes}, classes};
    histogram.add(filled, rows_of(truth, first, count), ignore);
  }
}

}  // namespace atrous
