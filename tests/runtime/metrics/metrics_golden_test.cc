// Against scikit-learn, on what tests/python/make_metric_goldens.py drew.
#include <doctest/doctest.h>

#include "runtime/metrics/metrics.h"
#include "tests/support/golden.h"
#include "tests/support/layers_testing.h"

namespace atrous::metrics_golden_test {

namespace {

LabelMap label_map(const GoldenTensor& t) {
  LabelMap map{static_cast<int>(t.shape.at(1)), static_cast<int>(t.shape.at(0)), {}};
  for (const float v : t.values) map.labels.push_back(static_cast<std::uint8_t>(v));
  return map;
}

// "none" where scikit-learn has no such ratio.
void check_ratio(const Golden& g, const std::string& key, const Ratio& found) {
  CAPTURE(g.name);
  CAPTURE(key);
  REQUIRE(found.has_value() == (g.text(key) != "none"));
  if (found) CHECK(std::abs(*found - g.number(key)) < 1e-9);
}

void check_curve(const GoldenTensor& expected, const std::vector<CurvePoint>& curve) {
  REQUIRE(static_cast<std::int64_t>(curve.size()) == expected.shape.at(0));
  for (std::size_t i = 0; i < curve.size(); ++i) {
    CHECK(static_cast<float>(curve[i].threshold) == expected.values[3 * i]);
    CHECK(static_cast<float>(curve[i].precision) == doctest::Approx(expected.values[3 * i + 1]));
    CHECK(static_cast<float>(curve[i].recall) == doctest::Approx(expected.values[3 * i + 2]));
  }
}

}  // namespace

TEST_CASE("metrics and curves are scikit-learn's") {
  for (const Golden& g : read_goldens("metrics")) {
    CAPTURE(g.name);
    const int classes = static_cast<int>(g.integer("classes")),
              ignore = static_cast<int>(g.integer("ignore"));
    const LabelMap truth = label_map(g["truth"]);
    ConfusionMatrix matrix(classes);
    matrix.add(truth, label_map(g["prediction"]), ignore);
    CHECK(std::ranges::equal(matrix.counts, g["confusion"].values,
                             [](std::int64_t a, float b) { return static_cast<float>(a) == b; }));

    const std::vector<float>& logits = g["logits"].values;
    ScoreHistogram scores(classes);
    scores.add(tensor_of({1, truth.height, truth.width, classes}, logits).view(), truth, ignore, 2);
    const Metrics m = compute_metrics(matrix, &scores);
    for (int c = 0; c < classes; ++c) {
      const ClassMetrics& found = m.classes[static_cast<std::size_t>(c)];
      check_ratio(g, str_cat("iou.", c), found.iou);
      check_ratio(g, str_cat("dice.", c), found.dice);
      check_ratio(g, str_cat("precision.", c), found.precision);
      check_ratio(g, str_cat("recall.", c), found.recall);
      check_ratio(g, str_cat("average_precision.", c), found.average_precision);
      if (g.has(str_cat("curve.", c))) check_curve(g[str_cat("curve.", c)], precision_recall(scores, c));
    }
    check_ratio(g, "mean_iou", m.mean_iou);
    check_ratio(g, "mean_dice", m.mean_dice);
    check_ratio(g, "mean_precision", m.mean_precision);
    check_ratio(g, "mean_recall", m.mean_recall);
    check_ratio(g, "mean_average_precision", m.mean_average_precision);
    check_ratio(g, "pixel_accuracy", m.pixel_accuracy);
    check_ratio(g, "frequency_weighted_iou", m.frequency_weighted_iou);
    check_ratio(g, "micro_iou", m.micro_iou);
    check_ratio(g, "micro_dice", m.micro_dice);
    check_ratio(g, "cross_entropy", m.cross_entropy);
  }
}

}  // namespace atrous::metrics_golden_test
