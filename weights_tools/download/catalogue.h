// torchvision's published segmentation checkpoints.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace atrous {

struct PublishedCheckpoint {
  std::string_view name;  // torchvision's builder: "deeplabv3_resnet101"
  std::string_view file;  // as published
  int mebibytes;          // about
  double miou;            // percent on COCO val2017, the 20 classes of VOC and background, by torchvision
};

// All six, in README.md's order.
std::span<const PublishedCheckpoint> published_checkpoints();

// By its name; nullptr for any other.
const PublishedCheckpoint* find_published(std::string_view name);

// Where torchvision publishes it.
std::string url_of(const PublishedCheckpoint&);

// The sha256 prefix that a file name carries by torch.hub's convention, "NAME-586e9e4e.pth": 8 to 64
// lower-case hex digits between the last hyphen and the extension. Empty when there is none.
std::string_view sha256_prefix_in(std::string_view file);

}  // namespace atrous
