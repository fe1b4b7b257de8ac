#include "runtime/image/label_rule.h"

#include <algorithm>

#include "layers/base/error.h"
#include "runtime/image/image_formats.h"

namespace atrous::formats {

namespace {

constexpr Colour black{0, 0, 0}, white{255, 255, 255};
constexpr int no_colour = ColourTable::no_colour;

bool is_grey(const Colour& c) { return c[0] == c[1] && c[1] == c[2]; }

Colour grey_of(std::size_t level) {
  const auto grey = static_cast<std::uint8_t>(level);
  return {grey, grey, grey};
}

std::uint32_t packed(const Colour& c) { return std::uint32_t{c[0]} << 16 | std::uint32_t{c[1]} << 8 | c[2]; }

void note(FirstPixels& first, std::size_t value, std::int64_t pixel) {
  if (first[value] < 0) first[value] = pixel;
}

}  // namespace

ColourTable::ColourTable(const LabelColours& colours) {
  for (std::size_t i = 0; i < colours.palette.size(); ++i) add(colours.palette[i], static_cast<int>(i));
  for (const Colour& c : colours.voids)
    if (find(c) == no_colour) add(c, void_label);
}

int ColourTable::find(const Colour& colour) const {
  const auto found = labels_.find(packed(colour));
  return found == labels_.end() ? no_colour : found->second;
}

void ColourTable::add(const Colour& colour, int label) {
  const auto [entry, added] = labels_.emplace(packed(colour), label);
  if (!added) entry->second = several;
}

LabelSurvey::LabelSurvey(int width, int channels, const Palette& own, const LabelColours& colours,
                         std::string_view name)
    : width_(width), channels_(channels), own_(own), colours_(colours), name_(name), table_(colours) {
  samples_.fill(-1);
  looked_up_.fill(-1);
}

void LabelSurvey::add(std::span<const std::uint8_t> samples) {
  if (channels_ == 3) return add_colours(samples);
  for (const std::uint8_t sample : samples) note(samples_, sample, pixels_++);
}

// A run of one colour at a time.
void LabelSurvey::add_colours(std::span<const std::uint8_t> samples) {
  const std::uint8_t* at = samples.data();
  for (std::size_t left = samples.size() / 3; left > 0;) {
    const Colour colour{at[0], at[1], at[2]};
    std::size_t count = 1;
    while (count < left && std::equal(colour.begin(), colour.end(), at + 3 * count)) ++count;
    note_colour(colour, table_.find(colour), static_cast<std::int64_t>(count));
    at += 3 * count;
    left -= count;
  }
}

void LabelSurvey::note_colour(const Colour& colour, int label, std::int64_t count) {
  grey_ = grey_ && is_grey(colour);
  note(samples_, colour[0], pixels_);
  if (label >= 0) {
    note(looked_up_, static_cast<std::size_t>(label), pixels_);
  } else if (unknown_at_ < 0 || colour == unknown_) {
    unknown_ = colour;
    if (unknown_at_ < 0) unknown_at_ = pixels_;
    same_ += count;
  } else {
    others_ += count;
  }
  pixels_ += count;
}

void LabelSurvey::refuse_colour() const {
  const std::string what =
      str_cat("the colour (", int{unknown_[0]}, ", ", int{unknown_[1]}, ", ", int{unknown_[2]},
              ") at pixel (", unknown_at_ % width_, ", ", unknown_at_ / width_, ")");
  const std::string count = str_cat(same_, same_ == 1 ? " pixel has" : " pixels have", " this colour",
                                    others_ > 0 ? str_cat(", and ", others_, " more no known one") : "");
  if (table_.find(unknown_) == ColourTable::several)
    fail(ErrorCode::malformed, name_, ": ", what, " is that of several classes of ", colours_.source, "; ",
         count);
  fail(ErrorCode::malformed, name_, ": ", what, " is none of the ", colours_.palette.size(), " of ",
       colours_.source, "; ", count);
}

LabelSurvey::Levels LabelSurvey::judge() const {
  Levels levels;
  for (std::size_t level = 0; level < samples_.size(); ++level) {
    if (samples_[level] < 0) continue;
    if (level >= colours_.palette.size() && level != void_label) levels.are_labels = false;
    if (table_.find(grey_of(level)) < 0) levels.are_colours = false;
  }
  return levels;
}

void LabelSurvey::by_colours(LabelRule& rule) const {
  if (grey_) {
    const auto [are_labels, are_colours] = judge();
    const bool meant = are_colours ? colours_.of_labels || !are_labels : colours_.of_labels && !are_labels;
    if (!meant) return;
  }
  if (colours_.palette.empty())
    fail(ErrorCode::unsupported, name_,
         ": this picture holds colours, and no palette says which classes they stand for");
  if (unknown_at_ >= 0) refuse_colour();
  rule.form = LabelForm::colours;
  rule.by_colour = true;
}

void LabelSurvey::by_levels(LabelRule& rule) const {
  if (!colours_.of_labels || !std::ranges::all_of(colours_.palette, is_grey) || !judge().are_colours) return;
  for (std::size_t level = 0; level < rule.to.size(); ++level)
    rule.to[level] = static_cast<std::uint8_t>(table_.find(grey_of(level)));
  rule.form = LabelForm::colours;
}

void LabelSurvey::by_own_palette(LabelRule& rule) const {
  std::array<std::uint8_t, 256> to = rule.to;
  bool all_known = true, moved = false;
  for (std::size_t i = 0; i < to.size(); ++i) {
    const bool coloured = i < own_.size();
    if (samples_[i] < 0 || (!coloured && i == void_label)) continue;
    if (coloured && i < colours_.palette.size() && own_[i] == colours_.palette[i]) continue;
    const int label = coloured ? table_.find(own_[i]) : no_colour;
    all_known = all_known && (label >= 0 || i == void_label);
    if (label < 0) continue;
    moved = moved || label != to[i];
    to[i] = static_cast<std::uint8_t>(label);
  }
  if (!moved) return;
  const bool only_theirs = std::ranges::all_of(
      own_, [&](const Colour& c) { return c == black || c == white || table_.find(c) != no_colour; });
  rule.other_order = !all_known || !only_theirs;
  if (rule.other_order) return;
  rule.to = to;
  rule.form = LabelForm::renumbered;
}

LabelRule LabelSurvey::rule() const {
  LabelRule rule;
  for (std::size_t i = 0; i < rule.to.size(); ++i) rule.to[i] = static_cast<std::uint8_t>(i);
  if (channels_ == 3)
    by_colours(rule);
  else if (!colours_.palette.empty() && own_.empty())
    by_levels(rule);
  else if (!colours_.palette.empty())
    by_own_palette(rule);
  rule.identity = rule.form == LabelForm::indices;
  rule.first.fill(-1);
  if (rule.by_colour) {
    rule.first = looked_up_;
    return rule;
  }
  for (std::size_t i = 0; i < samples_.size(); ++i) {
    std::int64_t& first = rule.first[rule.to[i]];
    if (samples_[i] >= 0 && (first < 0 || samples_[i] < first)) first = samples_[i];
  }
  return rule;
}

void LabelSurvey::apply(const LabelRule& rule, std::span<const std::uint8_t> samples,
                        std::uint8_t* labels) const {
  const std::size_t pixels = samples.size() / static_cast<std::size_t>(channels_);
  if (!rule.by_colour) {
    for (std::size_t p = 0; p < pixels; ++p)
      labels[p] = rule.to[samples[p * static_cast<std::size_t>(channels_)]];
    return;
  }
  Colour last{};
  int label = no_colour;
  for (std::size_t p = 0; p < pixels; ++p) {
    const std::uint8_t* c = samples.data() + 3 * p;
    if (label < 0 || !std::equal(last.begin(), last.end(), c)) label = table_.find(last = {c[0], c[1], c[2]});
    if (label < 0) fail(ErrorCode::io, name_, ": was changed while it was read");
    labels[p] = static_cast<std::uint8_t>(label);
  }
}

}  // namespace atrous::formats
