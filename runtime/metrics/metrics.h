// How good label maps are: the confusion matrix first, every ratio from it.
//
// With n[t][p] the pixels of true class t that were called p, of class c
//   true positives  TP = n[c][c]
//   false negatives FN = sum over p != c of n[c][p]
//   false positives FP = sum over t != c of n[t][c]
//
//   IoU        TP / (TP + FP + FN)       Jaccard; PASCAL VOC's measure of segmentation (Everingham et al.,
//                                        IJCV 2015, section 3.3)
//   Dice       2 TP / (2 TP + FP + FN)   the same as F1
//   precision  TP / (TP + FP)
//   recall     TP / (TP + FN)            "class accuracy"
//
// and over all classes, with N all pixels counted (Long, Shelhamer, Darrell, CVPR 2015, section 5)
//   pixel accuracy           sum TP / N
//   mean accuracy            mean of the recalls
//   mean IoU                 mean of the IoUs
//   frequency-weighted IoU   sum over c of (TP + FN) / N * IoU
//
// A ratio whose denominator is zero does not exist: it is an empty optional, is left out of means, and is
// shown as absent, neither as 0 nor as NaN. So a class neither in the labels nor in the predictions has no
// IoU.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "layers/base/public.h"
#include "layers/base/tensor.h"
#include "runtime/image/image.h"

namespace ATROUS_PUBLIC atrous {

constexpr int no_label = -1;  // where a label to ignore is asked for and there is none

struct ConfusionMatrix {
  int classes = 0;
  std::vector<std::int64_t> counts;  // [truth][prediction]: counts[truth * classes + prediction]

  ConfusionMatrix() = default;
  explicit ConfusionMatrix(int classes);  // of zeros; Error(invalid_argument) outside 1..256

  std::int64_t at(int truth, int prediction) const;
  std::int64_t truth_pixels(int c) const;      // TP + FN
  std::int64_t predicted_pixels(int c) const;  // TP + FP
  std::int64_t pixels() const;

  // Pixels whose truth is `ignore` are not counted, whatever is predicted there. Error(invalid_argument) for
  // maps of different sizes and, naming the first such pixel, where any other truth or its prediction is no
  // class; then nothing is counted.
  void add(const LabelMap& truth, const LabelMap& prediction, int ignore = 255);
  void add(const ConfusionMatrix&);  // Error(invalid_argument) for another number of classes
  bool operator==(const ConfusionMatrix&) const = default;
};

// What a network says of every class at every pixel, softmax of its logits, counted in bins of confidence:
// bin b holds the scores in [b / bins, (b + 1) / bins), the last one 1 too. From it come the precision-recall
// curves; beside it the cross-entropy is summed.
struct ScoreHistogram {
  static constexpr int bins = 1024;
  int classes = 0;
  std::vector<std::int64_t> positives, all;  // [class][bin]: pixels whose truth is the class; all pixels
  double cross_entropy = 0;                  // sum over pixels of -ln softmax[truth]
  std::int64_t pixels = 0;

  ScoreHistogram() = default;
  explicit ScoreHistogram(int classes);  // of zeros; Error(invalid_argument) outside 1..256

  // logits: [1, h, w, classes] at the truth's size. Pixels whose truth is `ignore` or at least `classes`
  // (void counted as a class of its own) are left out. The same bits for any number of threads.
  // Error(invalid_argument) for another shape and, naming the first such pixel, for logits whose
  // cross-entropy is not finite (NaN, an infinite one); then nothing is counted.
  void add(ConstView logits, const LabelMap& truth, int ignore = 255, int threads = 1);
  void add(const ScoreHistogram&);  // Error(invalid_argument) for another number of classes
  bool operator==(const ScoreHistogram&) const = default;
};

// A pixel is called class c where its score is at least `threshold`.
struct CurvePoint {
  double threshold = 0, precision = 0, recall = 0;
};
// From the highest threshold to the lowest, only those where recall or precision changes; empty for a class
// that is nowhere in the truth.
std::vector<CurvePoint> precision_recall(const ScoreHistogram&, int c);

// Area under that curve as the sum of precision_n * (recall_n - recall_(n-1)), without interpolation:
// scikit-learn's average_precision_score of the binned scores. Empty for a class that is nowhere in the
// truth.
std::optional<double> average_precision(const ScoreHistogram&, int c);

using Ratio = std::optional<double>;

struct ClassMetrics {
  std::int64_t truth_pixels = 0, predicted_pixels = 0, correct_pixels = 0;
  Ratio iou, dice, precision, recall, average_precision;
  Ratio iou_per_image;  // mean over the images that have this class in truth or prediction
};

// One picture's scores.
struct ImageScore {
  std::string name;           // as the dataset lists it
  int width = 0, height = 0;  // that were compared
  std::int64_t pixels = 0;    // counted: without those ignored
  Ratio pixel_accuracy, mean_iou, mean_dice, cross_entropy;
  std::vector<std::pair<int, double>> iou;  // class and its IoU, of those in truth or prediction
  double seconds = 0;                       // of the network
  bool operator==(const ImageScore&) const = default;
};

// Of one picture's own matrix (and histogram, where there is one); the seconds are the caller's to fill in.
ImageScore score_image(std::string name, int width, int height, const ConfusionMatrix&,
                       const ScoreHistogram* = nullptr);

struct Metrics {
  std::vector<ClassMetrics> classes;
  std::int64_t pixels = 0;
  // Macro: means over the classes for which the ratio exists.
  Ratio mean_iou, mean_dice, mean_precision, mean_recall /* mean accuracy */, mean_average_precision;
  Ratio pixel_accuracy, frequency_weighted_iou;
  // Micro: TP, FP and FN summed over the classes first. Micro precision, recall and F1 are all the pixel
  // accuracy, since every pixel has one truth and one prediction.
  Ratio micro_iou, micro_dice;
  // Per image: the ratio of each picture, then the mean over the pictures for which it exists.
  Ratio image_mean_iou, image_mean_dice, image_pixel_accuracy;
  Ratio cross_entropy;  // mean over pixels
};

// The histogram may have fewer classes than the matrix (no void counted as a class of its own): the others
// have no average precision. Error(invalid_argument) for one with more, and for an image's class that the
// matrix does not have.
Metrics compute_metrics(const ConfusionMatrix&, const ScoreHistogram* = nullptr,
                        std::span<const ImageScore> = {});

}  // namespace atrous
