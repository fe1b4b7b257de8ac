// The first images of an evaluation on one sheet.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "runtime/evaluation/scored_image.h"
#include "runtime/image/pillow_resize.h"
#include "weights_tools/metadata.h"

namespace atrous::cli {

// As Poutyne's example shows a batch: the photos as they were compared, what the network says, the truth;
// void is white.
class BatchSheet {
 public:
  // `classes` must outlive the sheet. `rule`: how photos were resized to be compared; none: not at all.
  BatchSheet(int images, const std::vector<std::string>& classes, Palette palette,
             std::optional<ResizeRule> rule);

  void add(const ScoredImage&);

  // Empty where no image was scored in this run.
  std::vector<std::byte> png() const;

 private:
  Image as_compared(const ScoredImage&) const;

  std::size_t wanted_;
  const std::vector<std::string>& classes_;
  Palette palette_;
  std::optional<ResizeRule> rule_;
  std::array<bool, 256> seen_{};
  std::vector<Image> photos_, predictions_, truths_;
};

}  // namespace atrous::cli
