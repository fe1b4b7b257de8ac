// Matrices and histograms small enough to work by hand; tests/runtime/metrics/metrics_golden_test.cc has
// scikit-learn's.
#include "runtime/metrics/metrics.h"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <functional>

#include "tests/support/layers_testing.h"

namespace atrous::metrics_test {

namespace {

LabelMap map_of(int width, int height, const std::vector<int>& labels) {
  LabelMap map{width, height, {}};
  for (const int l : labels) map.labels.push_back(static_cast<std::uint8_t>(l));
  return map;
}

ConfusionMatrix matrix_of(int classes, const LabelMap& truth, const LabelMap& prediction, int ignore = 255) {
  ConfusionMatrix m(classes);
  m.add(truth, prediction, ignore);
  return m;
}

ConfusionMatrix matrix_of(int classes, const std::vector<std::int64_t>& counts) {
  ConfusionMatrix m(classes);
  m.counts = counts;
  return m;
}

// Two rows as two pictures, one pixel of them void.
const LabelMap top_truth = map_of(5, 1, {0, 0, 0, 1, 1}), top_prediction = map_of(5, 1, {0, 0, 1, 1, 1});
const LabelMap bottom_truth = map_of(5, 1, {1, 1, 2, 2, 255}),
               bottom_prediction = map_of(5, 1, {0, 2, 2, 1, 7});

void check_ratio(const Ratio& found, double part, double whole) {
  REQUIRE(found.has_value());
  CHECK(*found == doctest::Approx(part / whole).epsilon(1e-15));
}

ScoreHistogram histogram_of(ConstView logits, const LabelMap& truth, int ignore = 255, int threads = 1) {
  ScoreHistogram h(static_cast<int>(logits.shape.c));
  h.add(logits, truth, ignore, threads);
  return h;
}

// The only bin of `counts` for class c that holds anything, which must be one pixel; -1 otherwise.
int only_bin(const std::vector<std::int64_t>& counts, int c) {
  int found = -1;
  for (int b = 0; b < ScoreHistogram::bins; ++b) {
    const std::int64_t n = counts[static_cast<std::size_t>(c * ScoreHistogram::bins + b)];
    if (n == 0) continue;
    if (n != 1 || found >= 0) return -1;
    found = b;
  }
  return found;
}

struct BinCount {
  int c, bin;
  std::int64_t positives, all;
};

ScoreHistogram histogram_of(int classes, const std::vector<BinCount>& counts) {
  ScoreHistogram h(classes);
  for (const BinCount& n : counts) {
    const auto at = static_cast<std::size_t>(n.c * ScoreHistogram::bins + n.bin);
    h.positives[at] = n.positives;
    h.all[at] = n.all;
  }
  return h;
}

std::string invalid(const std::function<void()>& action) {
  return error_of(ErrorCode::invalid_argument, action);
}

struct Scene {
  Tensor logits;
  LabelMap truth;
};

// Labels 0..classes-1 and two that are no class, in every row.
Scene scene(int width, int height, int classes, std::uint64_t seed) {
  Random random(seed);
  Scene s{Tensor({1, height, width, classes}), {width, height, {}}};
  fill(s.logits.view(), random, Draw::floats);
  for (float& v : s.logits.values()) v *= 8;
  for (int i = 0; i < width * height; ++i) {
    const std::int64_t label = pick(random, 0, classes + 1);
    s.truth.labels.push_back(static_cast<std::uint8_t>(label == classes ? 255 : label));
  }
  return s;
}

}  // namespace

TEST_CASE("the confusion matrix counts truths in rows and predictions in columns, void in neither") {
  ConfusionMatrix m = matrix_of(3, top_truth, top_prediction);
  m.add(bottom_truth, bottom_prediction);
  CHECK(m.counts == std::vector<std::int64_t>{2, 1, 0, 1, 2, 1, 0, 1, 1});
  CHECK(m.at(1, 2) == 1);
  CHECK(m.at(2, 0) == 0);
  CHECK(m.truth_pixels(0) == 3);
  CHECK(m.truth_pixels(1) == 4);
  CHECK(m.predicted_pixels(2) == 2);
  CHECK(m.pixels() == 9);

  ConfusionMatrix sum = matrix_of(3, top_truth, top_prediction);
  sum.add(matrix_of(3, bottom_truth, bottom_prediction));
  CHECK(sum == m);
}

TEST_CASE("any label may be the one to ignore, also a class, or none") {
  const LabelMap truth = map_of(4, 1, {0, 0, 1, 1}), prediction = map_of(4, 1, {0, 1, 0, 1});
  CHECK(matrix_of(2, truth, prediction, 0).counts == std::vector<std::int64_t>{0, 0, 1, 1});
  CHECK(matrix_of(2, truth, prediction, no_label).counts == std::vector<std::int64_t>{1, 1, 1, 1});
  const LabelMap last = map_of(1, 1, {255});
  CHECK(matrix_of(256, last, last, no_label).at(255, 255) == 1);
  CHECK(matrix_of(256, last, last).pixels() == 0);
}

TEST_CASE("a label that is no class is refused with its pixel, and nothing is counted") {
  ConfusionMatrix m = matrix_of(3, top_truth, top_prediction);
  const ConfusionMatrix before = m;
  const LabelMap truth = map_of(3, 2, {0, 1, 2, 0, 3, 9}), prediction = map_of(3, 2, {0, 1, 2, 2, 1, 0});
  CHECK(invalid([&] { m.add(truth, prediction); }) ==
        "truth at pixel (1, 1): expected a class below 3, found 3");
  CHECK(invalid([&] { m.add(prediction, truth); }) ==
        "prediction at pixel (1, 1): expected a class below 3, found 3");
  CHECK(m == before);
  CHECK(invalid([&] {
          m.add(map_of(2, 1, {255, 1}), map_of(2, 1, {1, 255}), no_label);
        }) == "truth at pixel (0, 0): expected a class below 3, found 255");
}

TEST_CASE("maps of different sizes and matrices of different classes are refused with both numbers") {
  ConfusionMatrix m(3);
  CHECK(invalid([&] {
          m.add(map_of(2, 1, {0, 0}), map_of(1, 2, {0, 0}));
        }) == "prediction: expected the truth's 2x1 pixels, found 1x2");
  CHECK(contains(invalid([&] { m.add(map_of(2, 2, {0}), map_of(2, 2, {0})); }), "truth: 2x2 needs 4"));
  CHECK(invalid([&] { m.add(ConfusionMatrix(2)); }) == "confusion matrices: expected 3 classes, found 2");
  CHECK(contains(invalid([] { ConfusionMatrix(0); }), "found 0"));
  CHECK(contains(invalid([] { ConfusionMatrix(257); }), "found 257"));
  CHECK(contains(invalid([] { ScoreHistogram(257); }), "found 257"));
  CHECK(contains(invalid([] { compute_metrics(ConfusionMatrix()); }), "0 classes"));
}

TEST_CASE("three classes worked by hand") {
  const Metrics m = compute_metrics(matrix_of(3, {2, 1, 0, 1, 2, 1, 0, 1, 1}));
  REQUIRE(m.classes.size() == 3);
  CHECK(m.pixels == 9);
  CHECK(m.classes[1].truth_pixels == 4);
  CHECK(m.classes[1].predicted_pixels == 4);
  CHECK(m.classes[1].correct_pixels == 2);
  check_ratio(m.classes[0].iou, 2, 4);
  check_ratio(m.classes[1].iou, 2, 6);
  check_ratio(m.classes[2].iou, 1, 3);
  check_ratio(m.classes[0].dice, 4, 6);
  check_ratio(m.classes[1].dice, 4, 8);
  check_ratio(m.classes[0].precision, 2, 3);
  check_ratio(m.classes[2].recall, 1, 2);
  check_ratio(m.mean_iou, 7, 18);
  check_ratio(m.mean_dice, 5, 9);
  check_ratio(m.mean_recall, 5, 9);
  check_ratio(m.pixel_accuracy, 5, 9);
  check_ratio(m.frequency_weighted_iou, 7, 18);
  check_ratio(m.micro_iou, 5, 13);
  check_ratio(m.micro_dice, 10, 18);
  CHECK(!m.image_mean_iou);
  CHECK(!m.cross_entropy);
  CHECK(!m.mean_average_precision);
}

TEST_CASE("precision divides by what was called the class, recall by what is it") {
  const Metrics m = compute_metrics(matrix_of(2, {6, 2, 1, 1}));
  check_ratio(m.classes[0].precision, 6, 7);
  check_ratio(m.classes[0].recall, 6, 8);
  check_ratio(m.classes[1].precision, 1, 3);
  check_ratio(m.classes[1].recall, 1, 2);
  check_ratio(m.mean_precision, 25, 42);
  check_ratio(m.mean_recall, 5, 8);
  check_ratio(m.frequency_weighted_iou, 8 * 6 / 9. + 2 * 1 / 4., 10);
}

TEST_CASE("a class nowhere in truth or prediction has no ratio and is in no mean") {
  // Class 1 is nowhere, class 2 only predicted, class 3 only true.
  const Metrics m = compute_metrics(matrix_of(4, {3, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0}));
  CHECK(!m.classes[1].iou);
  CHECK(!m.classes[1].dice);
  CHECK(!m.classes[1].precision);
  CHECK(!m.classes[1].recall);
  CHECK(m.classes[2].iou == 0.);
  CHECK(m.classes[2].precision == 0.);
  CHECK(!m.classes[2].recall);
  CHECK(m.classes[3].iou == 0.);
  CHECK(!m.classes[3].precision);
  CHECK(m.classes[3].recall == 0.);
  check_ratio(m.mean_iou, 1, 4);        // of classes 0, 2, 3
  check_ratio(m.mean_precision, 1, 2);  // of classes 0, 2
  check_ratio(m.mean_recall, 3, 8);     // of classes 0, 3
  check_ratio(m.frequency_weighted_iou, 3, 5);
}

TEST_CASE("a picture that is void throughout has pixels of no class and no ratio at all") {
  const LabelMap nothing = map_of(2, 2, {255, 255, 255, 255});
  const ConfusionMatrix matrix = matrix_of(2, nothing, map_of(2, 2, {0, 1, 0, 1}));
  const ScoreHistogram scores = histogram_of(Tensor::zeros({1, 2, 2, 2}).view(), nothing);
  const ImageScore image = score_image("void", 2, 2, matrix, &scores);
  CHECK(image.pixels == 0);
  CHECK(!image.pixel_accuracy);
  CHECK(!image.mean_iou);
  CHECK(!image.mean_dice);
  CHECK(!image.cross_entropy);
  CHECK(image.iou.empty());

  const Metrics m = compute_metrics(matrix, &scores, {&image, 1});
  CHECK(m.pixels == 0);
  for (const Ratio& r :
       {m.mean_iou, m.mean_dice, m.mean_precision, m.mean_recall, m.mean_average_precision, m.pixel_accuracy,
        m.frequency_weighted_iou, m.micro_iou, m.micro_dice, m.image_mean_iou, m.image_mean_dice,
        m.image_pixel_accuracy, m.cross_entropy, m.classes[0].iou_per_image, m.classes[1].average_precision})
    CHECK(!r);
}

TEST_CASE("one class is always right") {
  const LabelMap map = map_of(3, 1, {0, 0, 255});
  const ScoreHistogram scores = histogram_of(Tensor::zeros({1, 1, 3, 1}).view(), map);
  const Metrics m = compute_metrics(matrix_of(1, map, map_of(3, 1, {0, 0, 0})), &scores);
  for (const Ratio& r : {m.mean_iou, m.mean_dice, m.pixel_accuracy, m.frequency_weighted_iou, m.micro_iou,
                         m.mean_average_precision})
    CHECK(r == 1.);
  CHECK(m.cross_entropy == 0.);
}

TEST_CASE("per image: each picture's ratio, then the mean over the pictures that have it") {
  const ConfusionMatrix top = matrix_of(3, top_truth, top_prediction),
                        bottom = matrix_of(3, bottom_truth, bottom_prediction);
  const std::vector<ImageScore> images{score_image("top", 5, 1, top), score_image("bottom", 5, 1, bottom)};
  CHECK(images[0].name == "top");
  CHECK(images[0].width == 5);
  CHECK(images[0].height == 1);
  CHECK(images[1].pixels == 4);
  check_ratio(images[0].pixel_accuracy, 4, 5);
  check_ratio(images[1].pixel_accuracy, 1, 4);
  check_ratio(images[0].mean_dice, 4, 5);
  check_ratio(images[1].mean_dice, 1, 6);
  CHECK(images[0].iou == std::vector<std::pair<int, double>>{{0, 2. / 3}, {1, 2. / 3}});
  CHECK(images[1].iou == std::vector<std::pair<int, double>>{{0, 0.}, {1, 0.}, {2, 1. / 3}});

  ConfusionMatrix both = top;
  both.add(bottom);
  const Metrics m = compute_metrics(both, nullptr, images);
  check_ratio(m.classes[0].iou_per_image, 1, 3);
  check_ratio(m.classes[1].iou_per_image, 1, 3);
  check_ratio(m.classes[2].iou_per_image, 1, 3);  // of the one picture that has it
  check_ratio(m.image_mean_iou, 7, 18);
  check_ratio(m.image_mean_dice, 29, 60);
  check_ratio(m.image_pixel_accuracy, 21, 40);
}

TEST_CASE("an image's class or a histogram that the matrix does not have is refused") {
  ImageScore image;
  image.name = "photo";
  image.iou = {{3, 0.5}};
  CHECK(invalid([&] {
          compute_metrics(ConfusionMatrix(3), nullptr, {&image, 1});
        }) == "photo: expected classes below 3, found 3");
  image.iou = {{-1, 0.5}};
  CHECK(contains(invalid([&] { compute_metrics(ConfusionMatrix(3), nullptr, {&image, 1}); }), "found -1"));
  const ScoreHistogram scores(4);
  CHECK(contains(invalid([&] { compute_metrics(ConfusionMatrix(3), &scores); }), "found 4"));
  // Void counted as class 4, of which the network says nothing.
  const Metrics m = compute_metrics(matrix_of(5, ConfusionMatrix(5).counts), &scores);
  CHECK(!m.classes[4].average_precision);
}

TEST_CASE("a score lies in the bin that begins at or below it") {
  const LabelMap truth = map_of(1, 1, {1});
  const auto bins = [&](const std::vector<float>& logits) {
    const auto classes = static_cast<std::int64_t>(logits.size());
    const ScoreHistogram h = histogram_of(tensor_of({1, 1, 1, classes}, logits).view(), truth);
    std::vector<int> found;
    for (int c = 0; c < h.classes; ++c) {
      found.push_back(only_bin(h.all, c));
      CHECK(only_bin(h.positives, c) == (c == 1 ? found.back() : -1));
    }
    return found;
  };
  CHECK(bins({0, 0}) == std::vector{512, 512});
  CHECK(bins({5, 5, 5, 5}) == std::vector{256, 256, 256, 256});
  CHECK(bins({0, 0, 0}) == std::vector{341, 341, 341});
  CHECK(bins({100, -100}) == std::vector{1023, 0});
  CHECK(bins({-3e38f, 3e38f}) == std::vector{0, 1023});
  CHECK(bins({std::log(3.01f), 0}) == std::vector{768, 255});
  CHECK(bins({std::log(2.99f), 0}) == std::vector{767, 256});
}

TEST_CASE("the cross-entropy is minus the logarithm of the true class's score") {
  const LabelMap truth = map_of(2, 2, {0, 1, 255, 7});
  const Tensor logits = tensor_of({1, 2, 2, 2}, {std::log(3.f), 0, 2, 2, 9, 9, 9, 9});
  const ScoreHistogram h = histogram_of(logits.view(), truth);
  CHECK(h.pixels == 2);  // neither void nor the label that is no class
  CHECK(h.cross_entropy == doctest::Approx(-std::log(.75) + std::log(2.)).epsilon(1e-7));
  const Metrics m = compute_metrics(ConfusionMatrix(2), &h);
  CHECK(*m.cross_entropy == h.cross_entropy / 2);
  // Hopeless, and still a number.
  const ScoreHistogram far = histogram_of(tensor_of({1, 1, 1, 2}, {3e38f, -3e38f}).view(), map_of(1, 1, {1}));
  CHECK(far.cross_entropy == doctest::Approx(6e38));
}

TEST_CASE("the histogram has the same bits for any number of threads") {
  for (const auto& size : {std::tuple{37, 101, 21}, {5, 32, 3}, {1, 33, 2}, {70, 1, 9}}) {
    const auto& [width, height, classes] = size;
    CAPTURE(std::get<1>(size));
    const Scene s = scene(width, height, classes, 7);
    const ScoreHistogram one = histogram_of(s.logits.view(), s.truth);
    CHECK(one.pixels > 0);
    CHECK(one.pixels < width * height);
    for (const int threads : {2, 3, 7, 64}) {
      const ScoreHistogram many = histogram_of(s.logits.view(), s.truth, 255, threads);
      CHECK(many == one);
      CHECK(std::bit_cast<std::uint64_t>(many.cross_entropy) ==
            std::bit_cast<std::uint64_t>(one.cross_entropy));
    }
  }
}

TEST_CASE("logits may be channels of a wider tensor") {
  const Scene s = scene(9, 40, 4, 3);
  Slice slice(s.logits.shape(), 2, 3);
  const View view = slice.view();
  for (std::int64_t p = 0; p < view.shape.pixels(); ++p)
    std::copy_n(s.logits.data() + 4 * p, 4, view.data + p * view.pitch);
  CHECK(histogram_of(view, s.truth) == histogram_of(s.logits.view(), s.truth));
}

TEST_CASE("every counted pixel is in one bin of every class and positive in its own") {
  const Scene s = scene(23, 45, 6, 5);
  const ScoreHistogram h = histogram_of(s.logits.view(), s.truth, 2);
  for (int c = 0; c < 6; ++c) {
    std::int64_t positives = 0, all = 0;
    for (int b = 0; b < ScoreHistogram::bins; ++b) {
      const auto at = static_cast<std::size_t>(c * ScoreHistogram::bins + b);
      CHECK(h.positives[at] <= h.all[at]);
      positives += h.positives[at];
      all += h.all[at];
    }
    CHECK(all == h.pixels);
    CHECK(positives == (c == 2 ? 0 : std::ranges::count(s.truth.labels, c)));
  }
}

TEST_CASE("histograms add up") {
  const Scene a = scene(8, 70, 3, 1), b = scene(5, 9, 3, 2);
  ScoreHistogram h = histogram_of(a.logits.view(), a.truth);
  const ScoreHistogram first = h, second = histogram_of(b.logits.view(), b.truth);
  h.add(b.logits.view(), b.truth);
  ScoreHistogram sum = first;
  sum.add(second);
  CHECK(h == sum);
  CHECK(h.pixels == first.pixels + second.pixels);
  CHECK(h.cross_entropy == first.cross_entropy + second.cross_entropy);
  CHECK(invalid([&] { h.add(ScoreHistogram(2)); }) == "score histograms: expected 3 classes, found 2");
}

TEST_CASE("logits without a cross-entropy are refused with the first such pixel, and nothing is counted") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  Scene s = scene(10, 100, 3, 9);
  std::ranges::fill(s.truth.labels, 1);
  const auto said = [&](const Scene& bad, int threads) {
    ScoreHistogram h(3);
    const std::string sentence = invalid([&] { h.add(bad.logits.view(), bad.truth, 255, threads); });
    CHECK((sentence.empty() || h == ScoreHistogram(3)));
    return sentence;
  };
  const auto set = [&](int x, int y, int c, float value) { s.logits.view().at(0, y, x, c) = value; };
  CHECK(said(s, 1).empty());
  set(0, 0, 2, -infinity);  // a class that a mask rules out
  CHECK(said(s, 1).empty());
  set(8, 99, 0, not_a_number);
  set(4, 40, 0, infinity);
  set(5, 41, 1, not_a_number);
  for (const int threads : {1, 3})
    CHECK(said(s, threads) == "logits at pixel (4, 40): their cross-entropy is not finite");
  set(7, 2, 1, -infinity);
  CHECK(contains(said(s, 2), "(7, 2)"));
  set(3, 1, 0, not_a_number);
  CHECK(contains(said(s, 2), "(3, 1)"));
  std::ranges::fill(s.truth.labels, 255);
  CHECK(said(s, 2).empty());
}

TEST_CASE("logits of another shape than the truth's are refused with both") {
  ScoreHistogram h(3);
  const LabelMap truth = map_of(2, 1, {0, 0});
  for (const Shape& shape : {Shape{1, 2, 1, 3}, Shape{1, 1, 2, 4}, Shape{2, 1, 2, 3}}) {
    const std::string said = invalid([&] { h.add(Tensor::zeros(shape).view(), truth); });
    CHECK(said == str_cat("logits: expected [1, 1, 2, 3], found ", shape));
  }
  CHECK(contains(invalid([&] { h.add(Tensor::zeros({1, 1, 2, 3}).view(), truth, 255, 0); }), "0 threads"));
}

TEST_CASE("a precision-recall curve worked by hand") {
  const ScoreHistogram h = histogram_of(3, {{0, 900, 1, 1},
                                            {0, 500, 1, 2},
                                            {0, 100, 1, 3},
                                            {0, 50, 0, 1},
                                            {1, 1000, 0, 1},
                                            {1, 999, 0, 2},  // still 0 of 0 found: no change
                                            {1, 998, 1, 1},
                                            {1, 997, 0, 0},
                                            {2, 700, 0, 5}});
  const auto check_curve = [&](int c, const std::vector<CurvePoint>& expected) {
    const std::vector<CurvePoint> curve = precision_recall(h, c);
    REQUIRE(curve.size() == expected.size());
    for (std::size_t i = 0; i < curve.size(); ++i) {
      CHECK(curve[i].threshold == expected[i].threshold);
      CHECK(curve[i].precision == expected[i].precision);
      CHECK(curve[i].recall == expected[i].recall);
    }
  };
  check_curve(0, {{900 / 1024., 1, 1 / 3.},
                  {500 / 1024., 2 / 3., 2 / 3.},
                  {100 / 1024., 3 / 6., 1},
                  {50 / 1024., 3 / 7., 1}});
  check_curve(1, {{1000 / 1024., 0, 0}, {998 / 1024., 1 / 4., 1}});
  check_curve(2, {});  // nowhere in the truth
  check_ratio(average_precision(h, 0), 13, 18);
  check_ratio(average_precision(h, 1), 1, 4);
  CHECK(!average_precision(h, 2));
  check_ratio(compute_metrics(ConfusionMatrix(3), &h).mean_average_precision, 13 / 18. + 1 / 4., 2);
  CHECK(contains(invalid([&] { precision_recall(h, 3); }), "found 3"));
  CHECK(contains(invalid([&] { average_precision(h, -1); }), "found -1"));
}

TEST_CASE("along a curve thresholds fall, recall rises to 1, and no point repeats the last") {
  const Scene s = scene(60, 60, 5, 11);
  const ScoreHistogram h = histogram_of(s.logits.view(), s.truth);
  for (int c = 0; c < 5; ++c) {
    const std::vector<CurvePoint> curve = precision_recall(h, c);
    REQUIRE(curve.size() > 10);
    CHECK(curve.back().recall == 1.);
    for (std::size_t i = 1; i < curve.size(); ++i) {
      CHECK(curve[i].threshold < curve[i - 1].threshold);
      CHECK(curve[i].recall >= curve[i - 1].recall);
      CHECK((curve[i].recall != curve[i - 1].recall || curve[i].precision != curve[i - 1].precision));
    }
  }
}

}  // namespace atrous::metrics_test
