#include "weights_tools/download/catalogue.h"

namespace atrous {

std::vector<PublishedCheckpoint> published_checkpoints() {
  std::vector<PublishedCheckpoint> all;
  for (const Family& family : families())
    for (const PublishedCheckpoint& checkpoint : family.published)
      if (checkpoint.folder != by_hand) all.push_back(checkpoint);
  return all;
}

const PublishedCheckpoint* find_published(std::string_view name) {
  for (const Family& family : families())
    for (const PublishedCheckpoint& checkpoint : family.published)
      if (checkpoint.name == name && checkpoint.folder != by_hand) return &checkpoint;
  return nullptr;
}

std::string url_of(const PublishedCheckpoint& checkpoint) {
  return std::string(checkpoint.folder) + std::string(checkpoint.file);
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
