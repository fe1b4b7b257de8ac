#include "runtime/instances/proposals.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "layers/base/checked.h"
#include "layers/base/error.h"

namespace atrous {

namespace {

void check_map(const ProposalMap& map, std::int64_t anchors, Extent padded) {
  check(map.objectness, "objectness");
  check(map.deltas, "box deltas");
  const Shape& o = map.objectness.shape;
  const Shape& d = map.deltas.shape;
  if (o.c != anchors || d != Shape{1, o.h, o.w, 4 * anchors} || o.n != 1)
    fail(ErrorCode::invalid_argument, "proposals of ", anchors, " anchors a place: objectness is ", o,
         ", box deltas are ", d);
  if (padded.h < o.h || padded.w < o.w)
    fail(ErrorCode::invalid_argument, "proposals: a map of ", o.h, " x ", o.w, " for an input of ", padded.h,
         " x ", padded.w);
}

}  // namespace

std::vector<Box> base_anchors(float size, std::span<const float> ratios) try {
  std::vector<Box> anchors;
  for (const float ratio : ratios) {
    if (!(size > 0 && ratio > 0))
      fail(ErrorCode::invalid_argument, "anchors: size ", size, ", ratio ", ratio,
           ": expected positive ones");
    const float h_ratio = std::sqrt(ratio), w_ratio = 1 / h_ratio;
    const float half_w = std::nearbyint(w_ratio * size / 2), half_h = std::nearbyint(h_ratio * size / 2);
    anchors.push_back({-half_w, -half_h, half_w, half_h});
  }
  return anchors;
} catch (...) {
  rethrow_as_error();
}

std::vector<Candidate> proposal_candidates(std::span<const ProposalMap> maps, Extent padded, Extent image,
                                           const ProposalOptions& options) try {
  if (maps.size() != options.sizes.size())
    fail(ErrorCode::invalid_argument, "proposals: ", maps.size(), " maps, but ", options.sizes.size(),
         " sizes of anchors");
  const auto per_place = static_cast<std::int64_t>(options.ratios.size());
  std::vector<Candidate> candidates;
  for (std::size_t m = 0; m < maps.size(); ++m) {
    const ProposalMap& map = maps[m];
    check_map(map, per_place, padded);
    const Shape& shape = map.objectness.shape;
    const std::vector<Box> base = base_anchors(options.sizes[m], options.ratios);
    const std::int64_t stride_y = padded.h / shape.h, stride_x = padded.w / shape.w;

    std::vector<float> logits;
    logits.reserve(static_cast<std::size_t>(checked_elements(shape)));
    for (std::int64_t y = 0; y < shape.h; ++y)
      for (std::int64_t x = 0; x < shape.w; ++x) {
        const float* place = map.objectness.pixel(0, y, x);
        logits.insert(logits.end(), place, place + per_place);
      }
    if (std::ranges::any_of(logits, [](float logit) { return std::isnan(logit); }))
      fail(ErrorCode::not_finite, "proposals: objectness of map ", m, " is not a number");

    std::vector<std::int64_t> order(logits.size());
    std::iota(order.begin(), order.end(), std::int64_t{0});
    const std::int64_t count = std::clamp<std::int64_t>(options.candidates, 0, std::ssize(order));
    const auto logit_of = [&](std::int64_t anchor) { return logits[static_cast<std::size_t>(anchor)]; };
    std::ranges::partial_sort(order, order.begin() + count, [&](std::int64_t a, std::int64_t b) {
      return logit_of(a) != logit_of(b) ? logit_of(a) > logit_of(b) : a < b;
    });

    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t anchor = order[static_cast<std::size_t>(i)];
      const std::int64_t ratio = anchor % per_place, place = anchor / per_place;
      const std::int64_t y = place / shape.w, x = place % shape.w;
      const auto dx = static_cast<float>(x * stride_x), dy = static_cast<float>(y * stride_y);
      const Box& at_origin = base[static_cast<std::size_t>(ratio)];
      const Box reference{at_origin.x1 + dx, at_origin.y1 + dy, at_origin.x2 + dx, at_origin.y2 + dy};
      const Box box = decode_box(reference, map.deltas.pixel(0, y, x) + 4 * ratio, {});
      candidates.push_back({static_cast<int>(m), anchor, logit_of(anchor),
                            clip_box(box, static_cast<float>(image.w), static_cast<float>(image.h))});
    }
  }
  return candidates;
} catch (...) {
  rethrow_as_error();
}

std::vector<Proposal> select_proposals(std::span<const Candidate> candidates,
                                       const ProposalOptions& options) try {
  std::vector<ScoredBox> boxes;
  for (const Candidate& candidate : candidates)
    if (has_sides(candidate.box, options.smallest_side))
      boxes.push_back({candidate.box, 1 / (1 + std::exp(-candidate.logit)), candidate.map});
  std::vector<Proposal> proposals;
  for (const std::size_t place : suppress_overlapping(boxes, options.threshold)) {
    if (std::ssize(proposals) >= options.proposals) break;
    proposals.push_back({boxes[place].box, boxes[place].score});
  }
  return proposals;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
