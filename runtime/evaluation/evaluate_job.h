// One image of an evaluation on its way from thread to thread.
#pragma once

#include <array>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "layers/base/tensor.h"
#include "layers/ops/resize.h"
#include "runtime/evaluation/evaluation_state.h"
#include "runtime/evaluation/truth_rows.h"
#include "runtime/image/label_read.h"
#include "runtime/tiles/png_rows.h"
#include "runtime/tiles/reduced.h"
#include "weights_tools/io/file.h"

namespace atrous {

// A picture that is read row by row.
struct PngFile {
  InputFile file;
  PngRows rows;
  explicit PngFile(const std::string& path) : file(path), rows(file, path) {}
};

// What somebody will look at of a picture too large to be kept.
struct ReducedPictures {
  ReducedPhoto photo;
  ReducedLabels truth, prediction;
  ReducedPictures(int width, int height, int factor)
      : photo(width, height, factor), truth(width, height, factor), prediction(width, height, factor) {}
};

struct EvaluateJob {
  std::size_t index = 0;     // in the dataset
  std::exception_ptr error;  // what went wrong, at whichever step
  std::vector<std::byte> file;
  Image photo;    // only where somebody will look at it
  Image picture;  // at the network's input size
  LabelMap truth, prediction, sharpened;
  LabelForm form = LabelForm::indices;
  bool other_order = false;
  std::array<bool, 3> seen{};  // in the truth: 0, 1 and `undecided`
  Tensor logits;               // the low-resolution map
  Growth growth = {};          // into the truth's size
  // Of tiles, in place of the photo, picture, prediction and logits, and of the truth's labels: rows, as they
  // are needed, and what they came to, with the undecided pixels left out and as class 1.
  std::unique_ptr<PngFile> rows;
  std::unique_ptr<TruthRows> truth_rows;
  std::unique_ptr<ReducedPictures> reduced;
  std::optional<ImageCounts> counted, alone;
  bool abandoned = false;  // the run was stopped before the last row
  double network_seconds = 0;
};

}  // namespace atrous
