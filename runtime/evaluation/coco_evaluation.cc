#include "runtime/evaluation/coco_evaluation.h"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <tuple>

#include "layers/base/error.h"

namespace atrous {

std::optional<double> CocoImageScore::f1() const {
  const std::size_t all = 2 * right.size() + wrong.size() + missed.size();
  if (all == 0) return std::nullopt;
  return 2 * static_cast<double>(right.size()) / static_cast<double>(all);
}

std::vector<CocoImageScore> score_coco_images(const CocoEvaluation& e, double least_score) try {
  const CocoScores& scores = e.boxes;
  if (scores.outcomes50.size() != e.results.detections.size() ||
      scores.found50.size() != e.truth.annotations.size())
    fail(ErrorCode::invalid_argument, "scores of ", scores.outcomes50.size(), " results and ",
         scores.found50.size(), " annotations, expected of ", e.results.detections.size(), " and ",
         e.truth.annotations.size());
  std::vector<CocoImageScore> all(e.truth.images.size());
  const auto of_image = [&](std::int64_t id) -> CocoImageScore* {
    const auto found = std::ranges::lower_bound(e.truth.images, id, {}, &CocoImage::id);
    const bool is_there = found != e.truth.images.end() && found->id == id;
    return is_there ? &all[static_cast<std::size_t>(found - e.truth.images.begin())] : nullptr;
  };
  for (std::size_t i = 0; i < e.results.detections.size(); ++i) {
    CocoImageScore* const score = of_image(e.results.detections[i].image);
    if (!score || e.results.detections[i].score < least_score) continue;
    if (scores.outcomes50[i] == CocoOutcome::right) score->right.push_back(i);
    if (scores.outcomes50[i] == CocoOutcome::wrong) score->wrong.push_back(i);
    if (scores.outcomes50[i] == CocoOutcome::not_counted) score->uncounted.push_back(i);
  }
  for (std::size_t i = 0; i < e.truth.annotations.size(); ++i) {
    const CocoAnnotation& a = e.truth.annotations[i];
    CocoImageScore* const score = of_image(a.image);
    if (!score) continue;
    const bool is_found =
        scores.found50[i] && e.results.detections.at(*scores.found50[i]).score >= least_score;
    (a.crowd ? score->crowds : is_found ? score->found : score->missed).push_back(i);
  }
  const auto falling = [&](std::size_t a, std::size_t b) {
    return e.results.detections[a].score > e.results.detections[b].score;
  };
  for (CocoImageScore& score : all)
    for (auto* places : {&score.right, &score.wrong, &score.uncounted})
      std::ranges::stable_sort(*places, falling);
  return all;
} catch (...) {
  rethrow_as_error();
}

std::vector<std::size_t> worst_coco_images(const std::vector<CocoImageScore>& all, std::size_t most) try {
  std::vector<std::size_t> places(all.size());
  std::iota(places.begin(), places.end(), std::size_t{0});
  const auto rank = [&](std::size_t i) {
    const std::size_t mistakes = all[i].wrong.size() + all[i].missed.size();
    return std::tuple(all[i].f1().value_or(2), -static_cast<std::int64_t>(mistakes), i);
  };
  std::ranges::sort(places, {}, rank);
  places.resize(std::min(places.size(), most));
  return places;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
