// The part of metrics.h that looks at scores: the histogram, and the curves drawn from it.
#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <optional>

#include "layers/base/checked.h"
#include "layers/cpu/parallel.h"
#include "runtime/metrics/metrics.h"

namespace atrous {

namespace {

constexpr int most_classes = 256;
constexpr std::int64_t band_rows = 32;

// What one band of rows adds beside its counts, which are integers and may be added up in any order.
struct Band {
  double cross_entropy = 0;
  std::int64_t pixels = 0;
  std::int64_t not_finite = -1;  // the first pixel, as y * width + x, whose logits are not finite numbers
};

std::size_t offset(int c) { return static_cast<std::size_t>(c) * ScoreHistogram::bins; }

void check(const ScoreHistogram& h) {
  const bool possible = h.classes >= 0 && h.classes <= most_classes;
  if (!possible || h.positives.size() != offset(h.classes) || h.all.size() != offset(h.classes))
    fail(ErrorCode::invalid_argument, "score histogram of ", h.classes, " classes has ", h.positives.size(),
         " and ", h.all.size(), " counts");
}

void check_class(const ScoreHistogram& h, int c) {
  check(h);
  if (c < 0 || c >= h.classes)
    fail(ErrorCode::invalid_argument, "score histogram: expected a class below ", h.classes, ", found ", c);
}

// Counts the scores of one pixel; returns its cross-entropy, which is not finite where the logits are not.
double count_pixel(const float* logits, int classes, std::size_t truth, ScoreHistogram& counts) {
  std::array<double, most_classes> e;
  const float largest = *std::max_element(logits, logits + classes);
  double sum = 0;
  for (int c = 0; c < classes; ++c) {
    const auto i = static_cast<std::size_t>(c);
    e[i] = std::exp(double{logits[c]} - double{largest});
    sum += e[i];
  }
  const double cross_entropy = std::log(sum) - (double{logits[truth]} - double{largest});
  if (!std::isfinite(cross_entropy)) return cross_entropy;

  const double to_bins = ScoreHistogram::bins / sum;
  for (int c = 0; c < classes; ++c) {
    const auto i = static_cast<std::size_t>(c);
    const auto bin = static_cast<std::size_t>(std::min(static_cast<int>(e[i] * to_bins), counts.bins - 1));
    ++counts.all[offset(c) + bin];
    if (i == truth) ++counts.positives[offset(c) + bin];
  }
  return cross_entropy;
}

Band count_rows(ConstView logits, const LabelMap& truth, int ignore, std::int64_t first, std::int64_t last,
                ScoreHistogram& counts) {
  Band band;
  for (std::int64_t p = first * truth.width; p < last * truth.width; ++p) {
    const int t = truth.labels[static_cast<std::size_t>(p)];
    if (t == ignore || t >= counts.classes) continue;
    const double cross_entropy =
        count_pixel(logits.data + p * logits.pitch, counts.classes, static_cast<std::size_t>(t), counts);
    if (!std::isfinite(cross_entropy)) {
      band.not_finite = p;
      return band;
    }
    band.cross_entropy += cross_entropy;
    ++band.pixels;
  }
  return band;
}

}  // namespace

ScoreHistogram::ScoreHistogram(int classes_) try : classes(classes_) {
  if (classes < 1 || classes > most_classes)
    fail(ErrorCode::invalid_argument, "score histogram: expected 1 to ", most_classes, " classes, found ",
         classes);
  positives.resize(offset(classes));
  all.resize(offset(classes));
} catch (...) {
  rethrow_as_error();
}

void ScoreHistogram::add(ConstView logits, const LabelMap& truth, int ignore, int threads) try {
  atrous::check(truth, "truth");
  const Shape expected{1, truth.height, truth.width, classes};
  if (logits.shape != expected)
    fail(ErrorCode::invalid_argument, "logits: expected ", expected, ", found ", logits.shape);
  atrous::check(logits, "logits");
  check(*this);
  if (threads < 1) fail(ErrorCode::invalid_argument, "score histogram with ", threads, " threads");

  const std::int64_t height = truth.height, count = divide_up(height, band_rows);
  const int workers = static_cast<int>(std::min<std::int64_t>(threads, count));
  std::vector<Band> bands(static_cast<std::size_t>(count));
  std::vector<ScoreHistogram> counts(static_cast<std::size_t>(workers), ScoreHistogram(classes));
  parallel_tasks(workers, count, [&](std::int64_t b, int thread) {
    bands[static_cast<std::size_t>(b)] =
        count_rows(logits, truth, ignore, b * band_rows, std::min((b + 1) * band_rows, height),
                   counts[static_cast<std::size_t>(thread)]);
  });

  ScoreHistogram sum(classes);
  for (const Band& band : bands) {
    if (band.not_finite >= 0)
      fail(ErrorCode::invalid_argument, "logits at pixel (", band.not_finite % truth.width, ", ",
           band.not_finite / truth.width, "): their cross-entropy is not finite");
    sum.cross_entropy += band.cross_entropy;
    sum.pixels += band.pixels;
  }
  for (const ScoreHistogram& c : counts) sum.add(c);
  add(sum);
} catch (...) {
  rethrow_as_error();
}

void ScoreHistogram::add(const ScoreHistogram& other) try {
  if (other.classes != classes)
    fail(ErrorCode::invalid_argument, "score histograms: expected ", classes, " classes, found ",
         other.classes);
  check(*this);
  check(other);
  std::ranges::transform(positives, other.positives, positives.begin(), std::plus{});
  std::ranges::transform(all, other.all, all.begin(), std::plus{});
  cross_entropy += other.cross_entropy;
  pixels += other.pixels;
} catch (...) {
  rethrow_as_error();
}

std::vector<CurvePoint> precision_recall(const ScoreHistogram& h, int c) try {
  check_class(h, c);
  std::vector<CurvePoint> curve;
  std::int64_t truth = 0;
  for (std::size_t b = 0; b < ScoreHistogram::bins; ++b) truth += h.positives[offset(c) + b];
  if (truth == 0) return curve;

  std::int64_t correct = 0, called = 0;
  for (std::size_t b = ScoreHistogram::bins; b-- > 0;) {
    if (h.all[offset(c) + b] == 0) continue;
    correct += h.positives[offset(c) + b];
    called += h.all[offset(c) + b];
    const CurvePoint point{static_cast<double>(b) / ScoreHistogram::bins,
                           static_cast<double>(correct) / static_cast<double>(called),
                           static_cast<double>(correct) / static_cast<double>(truth)};
    if (curve.empty() || curve.back().precision != point.precision || curve.back().recall != point.recall)
      curve.push_back(point);
  }
  return curve;
} catch (...) {
  rethrow_as_error();
}

std::optional<double> average_precision(const ScoreHistogram& h, int c) try {
  const std::vector<CurvePoint> curve = precision_recall(h, c);
  if (curve.empty()) return {};
  double sum = 0, recall = 0;
  for (const CurvePoint& point : curve) {
    sum += point.precision * (point.recall - recall);
    recall = point.recall;
  }
  return sum;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
