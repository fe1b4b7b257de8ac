#include "weights_tools/download/catalogue.h"

#include <algorithm>

namespace atrous {

namespace {

// File names and scores: torchvision/models/segmentation/{fcn,deeplabv3,lraspp}.py, COCO_WITH_VOC_LABELS_V1.
constexpr PublishedCheckpoint published[] = {
    {"fcn_resnet50", "fcn_resnet50_coco-1167a1af.pth", 135, 60.5},
    {"fcn_resnet101", "fcn_resnet101_coco-7ecb50ca.pth", 208, 63.7},
    {"deeplabv3_resnet50", "deeplabv3_resnet50_coco-cd0a2569.pth", 161, 66.4},
    {"deeplabv3_resnet101", "deeplabv3_resnet101_coco-586e9e4e.pth", 233, 67.4},
    {"deeplabv3_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large-fc3c493d.pth", 42, 60.3},
    {"lraspp_mobilenet_v3_large", "lraspp_mobilenet_v3_large-d234d4ea.pth", 13, 57.9},
};

}  // namespace

std::span<const PublishedCheckpoint> published_checkpoints() { return published; }

const PublishedCheckpoint* find_published(std::string_view name) {
  const auto found = std::ranges::find(published, name, &PublishedCheckpoint::name);
  return found == std::end(published) ? nullptr : found;
}

std::string url_of(const PublishedCheckpoint& checkpoint) {
  return "https://download.pytorch.org/models/" + std::string(checkpoint.file);
}

std::string_view sha256_prefix_in(std::string_view file) {
  const auto dot = file.rfind('.');
  if (dot == std::string_view::npos) return {};
  const std::string_view stem = file.substr(0, dot);
  const auto hyphen = stem.rfind('-');
  if (hyphen == std::string_view::npos) return {};
  const std::string_view digits = stem.substr(hyphen + 1);
  const bool is_hex = digits.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  return is_hex && digits.size() >= 8 && digits.size() <= 64 ? digits : std::string_view{};
}

}  // namespace atrous
