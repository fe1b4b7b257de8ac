// What was right and wrong in each image, at IoU 0.5: matches drawn by hand.
#include "runtime/evaluation/coco_evaluation.h"

#include <doctest/doctest.h>

#include <string>

#include "tests/support/image_helpers.h"

namespace atrous::coco_evaluation_test {

using namespace atrous::testing;

namespace {

using Places = std::vector<std::size_t>;

CocoAnnotation truth(std::int64_t id, std::int64_t image, std::int64_t category, CocoBox box,
                     bool crowd = false) {
  return {id, image, category, box[2] * box[3], crowd, box};
}
CocoDetection found(std::int64_t image, std::int64_t category, double score, CocoBox box) {
  return {image, category, score, box};
}

// Image 3 has two cats, one of them found twice, and a crowd of dogs with a dog in it; image 5 nothing; image
// 8 a dog that is found with a low score, and a cat that is not there.
CocoEvaluation drawn() {
  CocoEvaluation e;
  e.truth.path = "truth.json";
  e.truth.images = {{3, "a.png", 100, 80}, {5, "b.png", 100, 80}, {8, "c.png", 100, 80}};
  e.truth.categories = {{1, "cat"}, {2, "dog"}};
  e.truth.annotations = {truth(1, 3, 1, {0, 0, 20, 20}), truth(2, 3, 1, {50, 0, 20, 20}),
                         truth(3, 3, 2, {0, 40, 60, 40}, true), truth(4, 8, 2, {10, 10, 30, 30})};
  e.results.path = "results.json";
  e.results.detections = {found(3, 1, 0.6, {0, 0, 20, 19}),     // the first cat, after a better one: wrong
                          found(3, 1, 0.9, {1, 0, 20, 20}),     // the first cat
                          found(3, 2, 0.8, {5, 45, 10, 10}),    // within the crowd: does not count
                          found(3, 2, 0.7, {6, 50, 10, 10}),    // the same
                          found(8, 2, 0.3, {10, 10, 30, 28}),   // the dog, below a half
                          found(8, 1, 0.5, {70, 50, 9, 9}),     // nothing is there
                          found(8, 7, 0.9, {10, 10, 30, 30})};  // of no category
  e.boxes = measure_coco(e.truth, e.results, CocoGeometry::boxes);
  return e;
}

CocoImageScore of_counts(std::size_t right, std::size_t wrong, std::size_t missed) {
  CocoImageScore score;
  score.right.resize(right);
  score.wrong.resize(wrong);
  score.missed.resize(missed);
  return score;
}

}  // namespace

TEST_CASE("each detection is right, wrong, not counted or not compared") {
  const CocoScores scores = drawn().boxes;
  using enum CocoOutcome;
  CHECK(scores.outcomes50 == std::vector{wrong, right, not_counted, not_counted, right, wrong, not_compared});
  const std::vector<std::optional<std::size_t>> matches{1, std::nullopt, 2, 4};
  CHECK(scores.found50 == matches);
}

TEST_CASE("detections behind an image's first 100 of a category are not compared") {
  CocoEvaluation e = drawn();
  e.results.detections.clear();
  for (int i = 0; i < 102; ++i)
    e.results.detections.push_back(found(3, 1, 1 - 0.001 * (i == 101 ? -1 : i), {50, 0, 20, 20}));
  const CocoScores scores = measure_coco(e.truth, e.results, CocoGeometry::boxes);
  CHECK(scores.outcomes50[101] == CocoOutcome::right);  // the best, though the last in the file
  CHECK(scores.outcomes50[0] == CocoOutcome::wrong);
  CHECK(scores.outcomes50[98] == CocoOutcome::wrong);
  CHECK(scores.outcomes50[99] == CocoOutcome::not_compared);
  CHECK(scores.outcomes50[100] == CocoOutcome::not_compared);
  CHECK(scores.found50[1] == 101);
}

TEST_CASE("a curve's scores are those of the detections that reach each recall") {
  // Two cats: the better detection finds one, and nothing finds the other.
  const CocoCategoryScore cat = drawn().boxes.categories[0];
  CHECK(cat.recall50 == 0.5);
  for (std::size_t p = 0; p <= 100; ++p) {
    CAPTURE(p);
    CHECK(cat.score50[p] == (p <= 50 ? 0.9 : 0));
    CHECK((cat.precision50[p] > 0) == (p <= 50));
  }
}

TEST_CASE("an image's score lists what counts from a score on, the best first") {
  const CocoEvaluation e = drawn();
  const auto half = score_coco_images(e, 0.5);
  REQUIRE(half.size() == 3);
  CHECK(half[0].right == Places{1});
  CHECK(half[0].wrong == Places{0});
  CHECK(half[0].uncounted == Places{2, 3});
  CHECK(half[0].found == Places{0});
  CHECK(half[0].missed == Places{1});
  CHECK(half[0].crowds == Places{2});
  CHECK(*half[0].f1() == 0.5);  // 2 / (2 + 1 + 1)
  CHECK(!half[1].f1());
  CHECK(half[2].right.empty());
  CHECK(half[2].wrong == Places{5});
  CHECK(half[2].missed == Places{3});
  CHECK(*half[2].f1() == 0);
  const auto all = score_coco_images(e, 0);
  CHECK(all[2].right == Places{4});
  CHECK(all[2].found == Places{3});
  CHECK(*all[2].f1() == doctest::Approx(2.0 / 3));
  CHECK(score_coco_images(e, 0.61)[0].wrong.empty());

  CocoEvaluation other = e;
  other.results.detections.pop_back();
  CHECK(contains(sentence([&] { score_coco_images(other, 0.5); }),
                 "scores of 7 results and 4 annotations, expected of 6 and 4"));
}

TEST_CASE(
    "the worst images have the lowest F1, of equal ones more mistakes, and those without one are last") {
  const std::vector<CocoImageScore> all{of_counts(0, 0, 0), of_counts(3, 0, 0), of_counts(0, 1, 0),
                                        of_counts(1, 1, 1), of_counts(0, 2, 3), of_counts(0, 0, 1)};
  CHECK(worst_coco_images(all, 10) == Places{4, 2, 5, 3, 1, 0});
  CHECK(worst_coco_images(all, 2) == Places{4, 2});
  CHECK(worst_coco_images({}, 2).empty());
}

}  // namespace atrous::coco_evaluation_test
