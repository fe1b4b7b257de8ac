// What a caller's structures contradict themselves in: refused with both numbers, and nothing beside them is
// read.
#include <doctest/doctest.h>

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "runtime/drawing/lettering.h"
#include "runtime/drawing/pictures.h"
#include "runtime/image/label_read.h"
#include "runtime/image/npy.h"
#include "runtime/image/palette.h"
#include "runtime/image/pillow_resize.h"
#include "runtime/image/png.h"
#include "runtime/image/preprocess.h"
#include "runtime/metrics/metrics.h"
#include "tests/support/runtime_testing.h"

namespace atrous::misuse_test {

using namespace atrous::runtime_testing;

namespace {

struct Misuse {
  std::string what;
  std::function<void()> call;
  std::string said;
};

const Image square = make_image(4, 4, 3);
const LabelMap labels{4, 4, std::vector<std::uint8_t>(16, 1)};

Image cut_image(int width, int height, std::size_t bytes) {
  return {width, height, 3, std::vector<std::uint8_t>(bytes)};
}
LabelMap cut_labels(std::size_t count) { return {4, 4, std::vector<std::uint8_t>(count, 1)}; }

ConfusionMatrix cut_matrix() {
  ConfusionMatrix m(3);
  m.counts.pop_back();
  return m;
}
ScoreHistogram cut_histogram() {
  ScoreHistogram h(3);
  h.positives.pop_back();
  return h;
}
Segmentation cut_segmentation() {
  Segmentation s;
  s.labels = labels;
  s.confidence.resize(15);
  return s;
}

}  // namespace

TEST_CASE("structures that contradict themselves are refused, with both numbers") {
  Image target = cut_image(4, 4, 47);
  Tensor out({1, 4, 4, 3}), logits({1, 4, 4, 3});
  std::ranges::fill(logits.values(), 0.f);
  const std::vector<Misuse> all{
      {"a picture of too few bytes", [] { encode_png(cut_image(4, 4, 47)); }, "needs 48 bytes, found 47"},
      {"a picture of too many", [] { encode_png(cut_image(4, 4, 49)); }, "needs 48 bytes, found 49"},
      {"a negative width", [] { resize_bilinear(cut_image(-4, 4, 48), 2, 2); }, "-4x4 has no pixels"},
      {"a picture that is drawn on", [&] { draw_text(target, 0, 0, "a", {}); }, "needs 48 bytes, found 47"},
      {"too few labels", [] { colourise(cut_labels(15), voc_palette(3)); }, "needs 16 labels, found 15"},
      {"too few labels to resize", [] { resize_nearest(cut_labels(15), 2, 2); }, "needs 16 labels, found 15"},
      {"a palette too short for a mask", [] { colourise(labels, voc_palette(1)); },
       "label 1, but the palette has 1 colours"},
      {"a palette too short for a PNG", [] { encode_png(labels, voc_palette(1)); }, "1"},
      {"a palette too short for an overlay", [] { overlay(square, labels, voc_palette(1)); },
       "label 1, but the palette has 1 colours"},
      {"a palette too short for a legend",
       [] {
         legend_of({{.index = 1, .pixels = 1, .share = 1}}, {"a", "b"}, voc_palette(1));
       },
       "2 names and 1 colours"},
      {"another size than the photo's", [] { cutout(make_image(4, 5, 3), labels, 1); },
       "the photo is 4x5, the label map 4x4"},
      {"confidences that are too few", [] { confidence_picture(std::vector<float>(15), 4, 4); }, "15"},
      {"confidences beside labels", [] { class_shares(cut_segmentation()); },
       "16 labels, but 15 confidences"},
      {"an output without memory",
       [] {
         normalise(square, {}, View{nullptr, {1, 4, 4, 3}, 3});
       },
       "there is no memory"},
      {"an output's pitch",
       [&] {
         normalise(square, {}, View{out.view().data, {1, 4, 4, 3}, 2});
       },
       "a pitch of 2 is less than its 3"},
      {"a tensor without memory",
       [] {
         encode_npy({nullptr, {1, 4, 4, 3}, 3});
       },
       "there is no memory"},
      {"a tensor's negative height",
       [&] {
         encode_npy({out.view().data, {1, -4, 4, 3}, 3});
       },
       "a dimension of -4"},
      {"a matrix with a count too few", [] { compute_metrics(cut_matrix()); }, "3 classes has 8 counts"},
      {"a matrix that is asked", [] { cut_matrix().at(2, 2); }, "3 classes has 8 counts"},
      {"a matrix that is added to", [] { cut_matrix().add(labels, labels); }, "3 classes has 8 counts"},
      {"a matrix that is added", [] { ConfusionMatrix(3).add(cut_matrix()); }, "expected 9 counts, found 8"},
      {"a class that is none", [] { ConfusionMatrix(3).at(0, 3); }, "a class below 3, found 3"},
      {"a class below zero", [] { ConfusionMatrix(3).truth_pixels(-1); }, "a class below 3, found -1"},
      {"a histogram with a count too few", [] { precision_recall(cut_histogram(), 2); },
       "3 classes has 3071 and 3072 counts"},
      {"a histogram that is added", [] { ScoreHistogram(3).add(cut_histogram()); },
       "3 classes has 3071 and 3072 counts"},
      {"a histogram that is added to", [&] { cut_histogram().add(logits.view(), labels); },
       "3 classes has 3071 and 3072 counts"},
      {"logits without memory",
       [] {
         ScoreHistogram(3).add(ConstView{nullptr, {1, 4, 4, 3}, 3}, labels);
       },
       "there is no memory"},
  };
  for (const Misuse& misuse : all) {
    CAPTURE(misuse.what);
    CAPTURE(misuse.said);
    CHECK(mentions(sentence(ErrorCode::invalid_argument, misuse.call), misuse.said));
  }
}

}  // namespace atrous::misuse_test
