#include "runtime/tiles/png_label_rows.h"

#include <utility>

#include "layers/base/error.h"

namespace atrous {

namespace {

// Between the first reading and the second.
[[noreturn]] void refuse_changed(const std::string& name) {
  fail(ErrorCode::io, name, ": was changed while it was read");
}

}  // namespace

PngLabelRows::PngLabelRows(const InputFile& file, std::string_view name) try
    : file_(file), name_(name), rows_(std::make_unique<PngRows>(file, name, PngSamples::annotations)) {
} catch (...) {
  rethrow_as_error();
}

std::vector<std::uint8_t> PngLabelRows::samples_of(std::size_t rows) const {
  return std::vector<std::uint8_t>(rows * static_cast<std::size_t>(width()) *
                                   static_cast<std::size_t>(rows_->channels()));
}

void PngLabelRows::survey(const LabelColours& colours) try {
  colours_ = colours;
  palette_ = rows_->palette();
  survey_.emplace(width(), rows_->channels(), palette_, colours_, name_);
  std::vector<std::uint8_t> row = samples_of(1);
  for (int y = 0; y < height(); ++y) {
    rows_->read(row);
    survey_->add(row);
  }
  rule_ = survey_->rule();
  auto again = std::make_unique<PngRows>(file_, name_, PngSamples::annotations);
  if (again->width() != width() || again->height() != height() || again->channels() != rows_->channels())
    refuse_changed(name_);
  rows_ = std::move(again);
} catch (...) {
  rethrow_as_error();
}

void PngLabelRows::read(std::span<std::uint8_t> rows) try {
  if (!survey_) fail(ErrorCode::invalid_argument, name_, ": labels before a survey of them");
  std::vector<std::uint8_t> samples = samples_of(rows.size() / static_cast<std::size_t>(width()));
  rows_->read(samples);
  survey_->apply(rule_, samples, rows.data());
  for (const std::uint8_t label : rows)
    if (rule_.first[label] < 0) refuse_changed(name_);
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
