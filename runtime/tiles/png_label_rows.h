// The labels of a PNG row by row, those of read_labels() (runtime/image/label_read.h). The file is read
// twice: what its samples stand for is known, and whether all of them are there and have a label, before the
// first row is given.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/image/label_rule.h"
#include "runtime/tiles/png_rows.h"
#include "weights_tools/io/file.h"

namespace atrous {

class PngLabelRows {
 public:
  // Its head alone. The file stays the caller's. Errors as PngRows of annotations.
  PngLabelRows(const InputFile& file, std::string_view name);
  PngLabelRows(const PngLabelRows&) = delete;
  PngLabelRows& operator=(const PngLabelRows&) = delete;

  int width() const { return rows_->width(); }
  int height() const { return rows_->height(); }
  bool is_interlaced() const { return rows_->is_interlaced(); }  // such are for read_labels() alone

  // Reads all samples. Errors as read_labels().
  void survey(const LabelColours&);

  // After survey():
  const formats::LabelRule& rule() const { return rule_; }
  // The next rows' labels, as PngRows::read(). Error(io) where the file holds others than survey() found.
  void read(std::span<std::uint8_t> rows);

 private:
  std::vector<std::uint8_t> samples_of(std::size_t rows) const;

  const InputFile& file_;
  std::string name_;
  std::unique_ptr<PngRows> rows_;
  LabelColours colours_ = {};
  Palette palette_ = {};
  std::optional<formats::LabelSurvey> survey_ = {};
  formats::LabelRule rule_ = {};
};

}  // namespace atrous
