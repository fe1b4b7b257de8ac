#include "runtime/instances/detections.h"

#include <algorithm>
#include <cmath>

#include "layers/base/checked.h"
#include "layers/base/error.h"

namespace atrous {

namespace {

// Two neighbouring values of a padded mask and their weights, for one row or column of the stretched one.
struct Taps {
  std::int64_t first = 0, second = 0;
  float weight_first = 1, weight_second = 0;
};

// PyTorch's bilinear taps with align_corners false.
Taps taps_of(std::int64_t place, std::int64_t in, std::int64_t out) {
  const float ratio = static_cast<float>(in) / static_cast<float>(out);
  const float source = std::max(ratio * (static_cast<float>(place) + 0.5F) - 0.5F, 0.0F);
  Taps taps;
  taps.first = std::min(static_cast<std::int64_t>(source), in - 1);
  taps.second = std::min(taps.first + 1, in - 1);
  taps.weight_second = source - static_cast<float>(taps.first);
  taps.weight_first = 1 - taps.weight_second;
  return taps;
}

std::int64_t whole(float corner) {
  if (!(std::abs(corner) < 0x1p31F))
    fail(ErrorCode::invalid_argument, "mask: its box has a corner at ", corner);
  return static_cast<std::int64_t>(corner);
}

}  // namespace

int pyramid_map_of(const Box& box) try {
  const float side = std::sqrt((box.x2 - box.x1) * (box.y2 - box.y1));
  const float level = std::floor(4 + std::log2(side / 224) + 1e-6F);
  return level >= 5 ? 3 : level >= 2 ? static_cast<int>(level) - 2 : 0;
} catch (...) {
  rethrow_as_error();
}

std::vector<Detection> select_detections(ConstView logits, ConstView deltas,
                                         std::span<const Proposal> proposals, Extent image,
                                         const DetectionOptions& options) try {
  if (proposals.empty()) return {};
  check(logits, "class logits");
  check(deltas, "box deltas");
  const std::int64_t classes = logits.shape.c, count = std::ssize(proposals);
  if (logits.shape != Shape{count, 1, 1, classes} || deltas.shape != Shape{count, 1, 1, 4 * classes})
    fail(ErrorCode::invalid_argument, "detections of ", count, " proposals: class logits are ", logits.shape,
         ", box deltas are ", deltas.shape);

  std::vector<ScoredBox> boxes;
  std::vector<float> softmax(static_cast<std::size_t>(classes));
  for (std::int64_t n = 0; n < count; ++n) {
    const std::span<const float> row(logits.pixel(n, 0, 0), static_cast<std::size_t>(classes));
    if (!std::ranges::all_of(row, [](float logit) { return std::isfinite(logit); }))
      fail(ErrorCode::not_finite, "detections: a class logit of proposal ", n, " is not finite");
    const float largest = *std::ranges::max_element(row);
    float sum = 0;
    for (std::size_t c = 0; c < row.size(); ++c) sum += softmax[c] = std::exp(row[c] - largest);
    for (std::int64_t c = 1; c < classes; ++c) {
      const float score = softmax[static_cast<std::size_t>(c)] / sum;
      if (!(score > options.score)) continue;
      const Box box = clip_box(decode_box(proposals[static_cast<std::size_t>(n)].box,
                                          deltas.pixel(n, 0, 0) + 4 * c, options.weights),
                               static_cast<float>(image.w), static_cast<float>(image.h));
      if (!has_sides(box, options.smallest_side)) continue;
      boxes.push_back({box, score, static_cast<int>(c)});
    }
  }
  std::vector<Detection> detections;
  for (const std::size_t place : suppress_overlapping(boxes, options.threshold)) {
    if (std::ssize(detections) >= options.detections) break;
    const auto& [box, score, label] = boxes[place];
    detections.push_back({box, score, label});
  }
  return detections;
} catch (...) {
  rethrow_as_error();
}

Box rescale_box(const Box& box, Extent from, Extent to) try {
  const float x = static_cast<float>(to.w) / static_cast<float>(from.w);
  const float y = static_cast<float>(to.h) / static_cast<float>(from.h);
  return {box.x1 * x, box.y1 * y, box.x2 * x, box.y2 * y};
} catch (...) {
  rethrow_as_error();
}

PastedCorners pasted_corners(const Box& box, std::int64_t side) try {
  if (side < 1) fail(ErrorCode::invalid_argument, "mask: ", side, " values a row");
  const auto growth = static_cast<float>(static_cast<double>(side + 2) / static_cast<double>(side));
  const float half_w = (box.x2 - box.x1) * 0.5F * growth, half_h = (box.y2 - box.y1) * 0.5F * growth;
  const float x = (box.x2 + box.x1) * 0.5F, y = (box.y2 + box.y1) * 0.5F;
  return {whole(x - half_w), whole(y - half_h), whole(x + half_w), whole(y + half_h)};
} catch (...) {
  rethrow_as_error();
}

void paste_mask(std::span<const float> mask, std::int64_t side, const PastedCorners& corners, Extent picture,
                std::span<float> out) try {
  if (std::ssize(mask) != checked_product({side, side}, "mask"))
    fail(ErrorCode::invalid_argument, "mask of ", side, " x ", side, ": ", mask.size(), " values");
  if (std::ssize(out) != checked_product({picture.h, picture.w}, "mask's picture"))
    fail(ErrorCode::invalid_argument, "mask's picture of ", picture.h, " x ", picture.w, ": ", out.size(),
         " values");
  std::ranges::fill(out, 0.0F);
  const std::int64_t padded = side + 2;
  const std::int64_t width = std::max<std::int64_t>(corners.x2 - corners.x1 + 1, 1);
  const std::int64_t height = std::max<std::int64_t>(corners.y2 - corners.y1 + 1, 1);
  const auto value = [&](std::int64_t row, std::int64_t column) {
    const bool rim = row == 0 || column == 0 || row == padded - 1 || column == padded - 1;
    return rim ? 0.0F : mask[static_cast<std::size_t>((row - 1) * side + column - 1)];
  };
  const std::int64_t left = std::max<std::int64_t>(corners.x1, 0),
                     right = std::min(corners.x2 + 1, picture.w);
  const std::int64_t top = std::max<std::int64_t>(corners.y1, 0), end = std::min(corners.y2 + 1, picture.h);
  std::vector<Taps> columns;
  for (std::int64_t x = left; x < right; ++x) columns.push_back(taps_of(x - corners.x1, padded, width));
  for (std::int64_t y = top; y < end; ++y) {
    const Taps row = taps_of(y - corners.y1, padded, height);
    float* to = out.data() + y * picture.w + left;
    for (const Taps& column : columns)
      *to++ = row.weight_first * (column.weight_first * value(row.first, column.first) +
                                  column.weight_second * value(row.first, column.second)) +
              row.weight_second * (column.weight_first * value(row.second, column.first) +
                                   column.weight_second * value(row.second, column.second));
  }
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
