// The truth of a large picture, read row by row: what map_truth() makes of read_truth(), which hold all of
// it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "runtime/evaluation/comparison.h"
#include "runtime/evaluation/dataset.h"
#include "runtime/tiles/png_label_rows.h"

namespace atrous {

class TruthRows {
 public:
  // Of the head alone. Null where the labels are no file of their own, or one that is read whole: no PNG, or
  // an interlaced one. Errors as read_truth().
  static std::unique_ptr<TruthRows> open(const Dataset&, const DatasetSample&);

  int width() const { return rows_.width(); }
  int height() const { return rows_.height(); }

  // Reads all of it once, so that what is wrong with a label is known before the first row is given. Errors
  // as read_truth() and map_truth().
  void survey(const Dataset&, const Comparison&);

  // After survey():
  LabelForm form() const { return rows_.rule().form; }
  bool other_order() const { return rows_.rule().other_order; }
  bool has(std::uint8_t label) const { return first_[label] >= 0; }
  // The next rows. Error(io) where the file has changed since.
  LabelMap read(int rows);

 private:
  explicit TruthRows(const std::string& path) : file_(path), rows_(file_, path) {}

  InputFile file_;
  PngLabelRows rows_;
  std::array<std::uint8_t, 256> to_{};  // from the file's labels
  formats::FirstPixels first_{};        // of those compared
};

}  // namespace atrous
