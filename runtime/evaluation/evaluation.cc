#include "runtime/evaluation/evaluation.h"

#include <charconv>

#include "layers/base/error.h"
#include "runtime/image/preprocess.h"
#include "weights_tools/io/clean_text.h"

namespace atrous {

namespace {

std::string maps(std::int64_t count) { return str_cat(count, count == 1 ? " label map" : " label maps"); }

std::string class_name(const Evaluation& e, int c) {
  const auto i = static_cast<std::size_t>(c);
  return i < e.classes.size() ? printable(e.classes[i]) : str_cat("class ", c);
}

std::string four_digits(double value) {
  char digits[40];
  return {digits, std::to_chars(digits, digits + sizeof digits, value, std::chars_format::fixed, 4).ptr};
}

// Up to 20 names.
std::string without_truth(const Evaluation& e) {
  constexpr int shown = 20;
  std::string names;
  int count = 0;
  for (int c = 0; c < e.confusion.classes; ++c) {
    if (e.confusion.truth_pixels(c) > 0) continue;
    if (count++ < shown) names += (names.empty() ? "" : ", ") + class_name(e, c);
  }
  return count > shown ? str_cat(names, " and ", count - shown, " more") : names;
}

}  // namespace

std::int64_t Evaluation::all_pixels() const {
  std::int64_t pixels = 0;
  for (const ImageScore& s : images) pixels += std::int64_t{s.width} * s.height;
  return pixels;
}

Metrics Evaluation::metrics() const {
  Metrics all = compute_metrics(confusion, scores.classes ? &scores : nullptr, images);
  if (confusion.classes > 1) return all;
  Metrics counts;
  counts.pixels = all.pixels;
  counts.classes.resize(1);
  counts.classes[0].truth_pixels = all.classes[0].truth_pixels;
  counts.classes[0].predicted_pixels = all.classes[0].predicted_pixels;
  counts.classes[0].correct_pixels = all.classes[0].correct_pixels;
  return counts;
}

Metrics Sharpened::metrics() const { return compute_metrics(confusion); }

std::int64_t Evaluation::void_pixels() const { return all_pixels() - confusion.pixels(); }

std::vector<std::string> notes(const Evaluation& e) {
  std::vector<std::string> all;
  if (e.missing > 0)
    all.push_back(str_cat("partial: ", e.missing, " of ", e.missing + e.images.size() + e.failed.size(),
                          " images are not there yet"));
  if (e.protocol) all.push_back("test protocol " + in_words(*e.protocol));
  if (e.tiling) all.push_back(in_words(*e.tiling));
  if (e.binary_masks)
    all.push_back(str_cat("the labels are 0 and 255 alone: 255 is taken as class 1, ", class_name(e, 1),
                          ", not as void"));
  if (e.forms.colours > 0)
    all.push_back(str_cat(maps(e.forms.colours), " of colours, looked up in ", printable(e.colours)));
  if (e.forms.renumbered > 0)
    all.push_back(str_cat(maps(e.forms.renumbered),
                          " with the classes' colours at other indices of the palette, read by colour: ",
                          printable(e.colours)));
  if (e.forms.other_order > 0)
    all.push_back(
        str_cat(maps(e.forms.other_order),
                " with some of the classes' colours at other indices of the palette, read by index; the "
                "colours are those of ",
                printable(e.colours)));
  if (e.images.empty()) return all;
  if (e.sharpened && e.confusion.classes > 1) {
    const Metrics with = e.sharpened->metrics(), without = e.metrics();
    const auto change = [](const Ratio& before, const Ratio& after) {
      return before && after ? str_cat(four_digits(*before), " -> ", four_digits(*after))
                             : std::string("none");
    };
    all.push_back(str_cat("a dense CRF of ", in_words(e.sharpened->crf), ": mean IoU ",
                          change(without.mean_iou, with.mean_iou), ", pixel accuracy ",
                          change(without.pixel_accuracy, with.pixel_accuracy)));
  }
  if (e.confusion.classes == 1)
    all.push_back("with one class nothing could be wrong: there are no scores");
  else if (e.confusion.pixels() == 0)
    all.push_back(str_cat("all ", e.all_pixels(), " pixels are void: nothing was compared"));
  else if (const std::string names = without_truth(e); !names.empty())
    all.push_back("classes without truth: " + names);
  return all;
}

}  // namespace atrous
