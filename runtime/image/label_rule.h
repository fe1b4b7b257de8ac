// What the samples of an annotation stand for. Whether they are labels or colours depends on all of them, so
// that each is seen before the first becomes a label; none has to be in memory afterwards.
// Not for use outside: call read_labels or PngLabelRows.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "runtime/image/label_read.h"

namespace atrous::formats {

// Where each value of 0..255 occurs first: the pixel's number, row by row, or -1.
using FirstPixels = std::array<std::int64_t, 256>;

// From colours to labels.
class ColourTable {
 public:
  static constexpr int no_colour = -1, several = -2;

  explicit ColourTable(const LabelColours&);
  // The label, no_colour, or several.
  int find(const Colour&) const;

 private:
  void add(const Colour&, int label);

  std::unordered_map<std::uint32_t, int> labels_;
};

struct LabelRule {
  LabelForm form = LabelForm::indices;
  bool other_order = false;            // as in ReadLabels
  bool by_colour = false;              // each pixel of three channels is looked up, otherwise its first one
  bool identity = true;                // `to` changes nothing
  std::array<std::uint8_t, 256> to{};  // from a sample to its label
  FirstPixels first{};                 // of labels
};

// Of a picture so wide, of one channel or three; `own` is the file's palette.
class LabelSurvey {
 public:
  LabelSurvey(int width, int channels, const Palette& own, const LabelColours&, std::string_view name);

  // The next samples, of whole pixels.
  void add(std::span<const std::uint8_t> samples);

  // Of all that was added. Errors of read_labels() for colours.
  LabelRule rule() const;

  // The labels of samples that were added. Error(io) for a colour that was not.
  void apply(const LabelRule&, std::span<const std::uint8_t> samples, std::uint8_t* labels) const;

 private:
  struct Levels {
    bool are_labels = true;   // 0 up to the palette's size, and 255
    bool are_colours = true;  // each is a label's
  };

  void add_colours(std::span<const std::uint8_t> samples);
  void note_colour(const Colour&, int label, std::int64_t count);
  Levels judge() const;
  void by_levels(LabelRule&) const;
  void by_own_palette(LabelRule&) const;
  void by_colours(LabelRule&) const;
  [[noreturn]] void refuse_colour() const;

  std::int64_t width_;
  int channels_;
  const Palette& own_;
  const LabelColours& colours_;
  std::string name_;
  ColourTable table_;
  std::int64_t pixels_ = 0;
  bool grey_ = true;                 // so far all three channels are equal
  FirstPixels samples_, looked_up_;  // of the first channel; of the colours' labels
  // The first colour that is no label's, where it is, how many pixels have it and how many another such one.
  Colour unknown_{};
  std::int64_t unknown_at_ = -1, same_ = 0, others_ = 0;
};

}  // namespace atrous::formats
