#include "runtime/metrics/metrics.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "layers/base/error.h"

namespace atrous {

namespace {

constexpr int label_values = 256;

std::size_t square(int classes) {
  return static_cast<std::size_t>(classes) * static_cast<std::size_t>(classes);
}

// Where a pixel that cannot be counted lies, and what is wrong with it. `counted` says which pairs can.
template <class Counted>
[[noreturn]] void refuse_first(const LabelMap& truth, const LabelMap& prediction, int classes,
                               Counted counted) {
  std::size_t i = 0;
  while (counted(truth.labels[i], prediction.labels[i])) ++i;
  const auto width = static_cast<std::size_t>(truth.width);
  const bool in_truth = truth.labels[i] >= classes;
  fail(ErrorCode::invalid_argument, in_truth ? "truth" : "prediction", " at pixel (", i % width, ", ",
       i / width, "): expected a class below ", classes, ", found ",
       int{in_truth ? truth.labels[i] : prediction.labels[i]});
}

Ratio ratio(std::int64_t part, std::int64_t whole) {
  if (whole == 0) return {};
  return static_cast<double>(part) / static_cast<double>(whole);
}

// The mean of the ratios that exist.
class Mean {
 public:
  void add(const Ratio& r) {
    if (!r) return;
    sum_ += *r;
    ++count_;
  }
  Ratio value() const {
    if (count_ == 0) return {};
    return sum_ / static_cast<double>(count_);
  }

 private:
  double sum_ = 0;
  std::int64_t count_ = 0;
};

// mean_of(values, field): the mean of one field of each of the values.
template <class Values, class Field>
Ratio mean_of(const Values& values, Field field) {
  Mean mean;
  for (const auto& v : values) mean.add(v.*field);
  return mean.value();
}

// TP, TP + FN and TP + FP of a class.
struct ClassSums {
  std::int64_t correct = 0, truth = 0, predicted = 0;

  Ratio iou() const { return ratio(correct, truth + predicted - correct); }
  Ratio dice() const { return ratio(2 * correct, truth + predicted); }
};

// Of every class, in one pass over the matrix.
struct Sums {
  std::vector<ClassSums> classes;
  std::int64_t pixels = 0, all_correct = 0;

  explicit Sums(const ConfusionMatrix& m) : classes(static_cast<std::size_t>(m.classes)) {
    for (std::size_t t = 0; t < classes.size(); ++t)
      for (std::size_t p = 0; p < classes.size(); ++p) {
        const std::int64_t n = m.counts[t * classes.size() + p];
        if (t == p) classes[t].correct = n;
        classes[t].truth += n;
        classes[p].predicted += n;
        pixels += n;
      }
    for (const ClassSums& c : classes) all_correct += c.correct;
  }
};

void check(const ConfusionMatrix& m) {
  if (m.classes < 1 || m.classes > label_values || m.counts.size() != square(m.classes))
    fail(ErrorCode::invalid_argument, "confusion matrix of ", m.classes, " classes has ", m.counts.size(),
         " counts");
}

void check_class(const ConfusionMatrix& m, int c) {
  check(m);
  if (c < 0 || c >= m.classes)
    fail(ErrorCode::invalid_argument, "confusion matrix: expected a class below ", m.classes, ", found ", c);
}

std::vector<ClassMetrics> class_metrics(const Sums& sums, const ScoreHistogram* scores) {
  std::vector<ClassMetrics> classes(sums.classes.size());
  for (std::size_t c = 0; c < classes.size(); ++c) {
    const ClassSums& of_class = sums.classes[c];
    ClassMetrics& m = classes[c];
    m.truth_pixels = of_class.truth;
    m.predicted_pixels = of_class.predicted;
    m.correct_pixels = of_class.correct;
    m.iou = of_class.iou();
    m.dice = of_class.dice();
    m.precision = ratio(m.correct_pixels, m.predicted_pixels);
    m.recall = ratio(m.correct_pixels, m.truth_pixels);
    if (scores && static_cast<int>(c) < scores->classes)
      m.average_precision = average_precision(*scores, static_cast<int>(c));
  }
  return classes;
}

void add_image_means(Metrics& m, std::span<const ImageScore> images) {
  std::vector<Mean> ious(m.classes.size());
  for (const ImageScore& image : images)
    for (const auto& [c, iou] : image.iou) {
      if (!std::in_range<std::size_t>(c) || static_cast<std::size_t>(c) >= ious.size())
        fail(ErrorCode::invalid_argument, image.name, ": expected classes below ", ious.size(), ", found ",
             c);
      ious[static_cast<std::size_t>(c)].add(iou);
    }
  for (std::size_t c = 0; c < ious.size(); ++c) m.classes[c].iou_per_image = ious[c].value();
  m.image_mean_iou = mean_of(images, &ImageScore::mean_iou);
  m.image_mean_dice = mean_of(images, &ImageScore::mean_dice);
  m.image_pixel_accuracy = mean_of(images, &ImageScore::pixel_accuracy);
}

Ratio frequency_weighted_iou(const Sums& sums) {
  if (sums.pixels == 0) return {};
  double sum = 0;
  for (const ClassSums& c : sums.classes)
    sum += static_cast<double>(c.truth) * c.iou().value_or(0);  // without IoU there is no truth
  return sum / static_cast<double>(sums.pixels);
}

Ratio mean_cross_entropy(const ScoreHistogram* scores) {
  if (!scores || scores->pixels == 0) return {};
  return scores->cross_entropy / static_cast<double>(scores->pixels);
}

}  // namespace

ConfusionMatrix::ConfusionMatrix(int classes_) try : classes(classes_) {
  if (classes < 1 || classes > label_values)
    fail(ErrorCode::invalid_argument, "confusion matrix: expected 1 to ", label_values, " classes, found ",
         classes);
  counts.resize(square(classes));
} catch (...) {
  rethrow_as_error();
}

std::int64_t ConfusionMatrix::at(int truth, int prediction) const {
  check_class(*this, truth);
  check_class(*this, prediction);
  return counts[static_cast<std::size_t>(truth) * static_cast<std::size_t>(classes) +
                static_cast<std::size_t>(prediction)];
}

std::int64_t ConfusionMatrix::truth_pixels(int c) const {
  check_class(*this, c);
  std::int64_t sum = 0;
  for (int p = 0; p < classes; ++p) sum += at(c, p);
  return sum;
}

std::int64_t ConfusionMatrix::predicted_pixels(int c) const {
  check_class(*this, c);
  std::int64_t sum = 0;
  for (int t = 0; t < classes; ++t) sum += at(t, c);
  return sum;
}

std::int64_t ConfusionMatrix::pixels() const {
  std::int64_t sum = 0;
  for (const std::int64_t n : counts) sum += n;
  return sum;
}

void ConfusionMatrix::add(const LabelMap& truth, const LabelMap& prediction, int ignore) try {
  check(*this);
  atrous::check(truth, "truth");
  atrous::check(prediction, "prediction");
  if (truth.width != prediction.width || truth.height != prediction.height)
    fail(ErrorCode::invalid_argument, "prediction: expected the truth's ", truth.width, "x", truth.height,
         " pixels, found ", prediction.width, "x", prediction.height);

  // All 256 x 256 pairs are counted first, which leaves the loop over pixels without a branch.
  std::vector<std::int64_t> pairs(square(label_values));
  for (std::size_t i = 0; i < truth.labels.size(); ++i)
    ++pairs[std::size_t{truth.labels[i]} * label_values + prediction.labels[i]];

  const auto countable = [&](int t, int p) { return t == ignore || (t < classes && p < classes); };
  ConfusionMatrix sum = *this;
  for (int t = 0; t < label_values; ++t)
    for (int p = 0; p < label_values; ++p) {
      const std::int64_t n = pairs[static_cast<std::size_t>(t * label_values + p)];
      if (n == 0 || t == ignore) continue;
      if (!countable(t, p)) refuse_first(truth, prediction, classes, countable);
      sum.counts[static_cast<std::size_t>(t * classes + p)] += n;
    }
  *this = std::move(sum);
} catch (...) {
  rethrow_as_error();
}

void ConfusionMatrix::add(const ConfusionMatrix& other) try {
  if (other.classes != classes)
    fail(ErrorCode::invalid_argument, "confusion matrices: expected ", classes, " classes, found ",
         other.classes);
  if (other.counts.size() != counts.size())
    fail(ErrorCode::invalid_argument, "confusion matrices: expected ", counts.size(), " counts, found ",
         other.counts.size());
  std::ranges::transform(counts, other.counts, counts.begin(), std::plus{});
} catch (...) {
  rethrow_as_error();
}

ImageScore score_image(std::string name, int width, int height, const ConfusionMatrix& matrix,
                       const ScoreHistogram* scores) try {
  check(matrix);
  const Sums sums(matrix);
  ImageScore score;
  score.name = std::move(name);
  score.width = width;
  score.height = height;
  score.pixels = sums.pixels;
  score.pixel_accuracy = ratio(sums.all_correct, sums.pixels);
  Mean ious, dices;
  for (std::size_t c = 0; c < sums.classes.size(); ++c) {
    const Ratio iou = sums.classes[c].iou();
    if (!iou) continue;
    score.iou.emplace_back(static_cast<int>(c), *iou);
    ious.add(iou);
    dices.add(sums.classes[c].dice());
  }
  score.mean_iou = ious.value();
  score.mean_dice = dices.value();
  score.cross_entropy = mean_cross_entropy(scores);
  return score;
} catch (...) {
  rethrow_as_error();
}

Metrics compute_metrics(const ConfusionMatrix& matrix, const ScoreHistogram* scores,
                        std::span<const ImageScore> images) try {
  check(matrix);
  if (scores && scores->classes > matrix.classes)
    fail(ErrorCode::invalid_argument, "score histogram: expected no more than the confusion matrix's ",
         matrix.classes, " classes, found ", scores->classes);
  const Sums sums(matrix);
  Metrics m;
  m.classes = class_metrics(sums, scores);
  m.pixels = sums.pixels;
  m.mean_iou = mean_of(m.classes, &ClassMetrics::iou);
  m.mean_dice = mean_of(m.classes, &ClassMetrics::dice);
  m.mean_precision = mean_of(m.classes, &ClassMetrics::precision);
  m.mean_recall = mean_of(m.classes, &ClassMetrics::recall);
  m.mean_average_precision = mean_of(m.classes, &ClassMetrics::average_precision);
  m.pixel_accuracy = ratio(sums.all_correct, sums.pixels);
  m.frequency_weighted_iou = frequency_weighted_iou(sums);
  // Over all classes FP = FN = pixels - TP.
  m.micro_iou = ratio(sums.all_correct, 2 * sums.pixels - sums.all_correct);
  m.micro_dice = m.pixel_accuracy;
  add_image_means(m, images);
  m.cross_entropy = mean_cross_entropy(scores);
  return m;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
