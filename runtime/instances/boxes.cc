#include "runtime/instances/boxes.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "layers/base/error.h"

namespace atrous {

namespace {

constexpr float largest_log_side = 4.135166556742356F;  // log(1000 / 16)

float area_of(const Box& box) { return (box.x2 - box.x1) * (box.y2 - box.y1); }

bool overlap(const Box& a, float area_a, const Box& b, float area_b, float threshold) {
  const float w = std::max(0.0F, std::min(a.x2, b.x2) - std::max(a.x1, b.x1));
  const float h = std::max(0.0F, std::min(a.y2, b.y2) - std::max(a.y1, b.y1));
  const float intersection = w * h;
  return intersection / (area_a + area_b - intersection) > threshold;
}

}  // namespace

Box decode_box(const Box& reference, const float* deltas, const BoxWeights& weights) try {
  const float width = reference.x2 - reference.x1, height = reference.y2 - reference.y1;
  const float x = deltas[0] / weights.x * width + (reference.x1 + 0.5F * width);
  const float y = deltas[1] / weights.y * height + (reference.y1 + 0.5F * height);
  // The number comes first: std::min then passes on a NaN, as torch.clamp does.
  const float w = 0.5F * (std::exp(std::min(deltas[2] / weights.w, largest_log_side)) * width);
  const float h = 0.5F * (std::exp(std::min(deltas[3] / weights.h, largest_log_side)) * height);
  return {x - w, y - h, x + w, y + h};
} catch (...) {
  rethrow_as_error();
}

Box clip_box(const Box& box, float width, float height) try {
  return {std::clamp(box.x1, 0.0F, width), std::clamp(box.y1, 0.0F, height), std::clamp(box.x2, 0.0F, width),
          std::clamp(box.y2, 0.0F, height)};
} catch (...) {
  rethrow_as_error();
}

bool has_sides(const Box& box, float side) { return box.x2 - box.x1 >= side && box.y2 - box.y1 >= side; }

std::vector<std::size_t> suppress_overlapping(std::span<const ScoredBox> boxes, float threshold) try {
  if (std::ranges::any_of(boxes, [](const ScoredBox& b) { return std::isnan(b.score); }))
    fail(ErrorCode::invalid_argument, "suppression of overlapping boxes: a score is not a number");

  std::vector<std::size_t> order(boxes.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order,
                           [&](std::size_t a, std::size_t b) { return boxes[a].score > boxes[b].score; });

  struct Kept {
    Box box;
    float area;
  };
  std::map<int, std::vector<Kept>> kept_of_group;
  std::vector<std::size_t> kept;
  for (const std::size_t place : order) {
    const Box& box = boxes[place].box;
    const float area = area_of(box);
    std::vector<Kept>& better = kept_of_group[boxes[place].group];
    if (std::ranges::any_of(better,
                            [&](const Kept& k) { return overlap(k.box, k.area, box, area, threshold); }))
      continue;
    better.push_back({box, area});
    kept.push_back(place);
  }
  return kept;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
