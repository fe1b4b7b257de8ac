#include "cli/models.h"

#include <filesystem>

#include "cli/suggest.h"
#include "layers/error.h"
#include "weights_tools/default_model.h"
#include "weights_tools/seeded.h"
#include "weights_tools/sha256.h"

#ifndef ATROUS_HAS_FETCH
#define ATROUS_HAS_FETCH 0
#endif
#if ATROUS_HAS_FETCH
#include "cli/cache.h"
#include "weights_tools/catalogue.h"
#endif

namespace atrous::cli {

namespace {

constexpr std::string_view default_name = "default", seeded_prefix = "seeded:";

#if ATROUS_HAS_FETCH
bool is_published(const std::string& name) { return find_published(name) != nullptr; }
#else
bool is_published(const std::string&) { return false; }
std::string fetch_checkpoint(const std::string& name) {
  fail(ErrorCode::unsupported, name, ": this atrous was built without downloads: give a file");
}
#endif

// The file that a name or path stands for; not for the default nor for seeded weights.
std::string path_of(const std::string& name) {
  if (is_published(name)) return fetch_checkpoint(name);
  std::error_code ignored;
  if (name.find('/') == name.npos && !std::filesystem::exists(name, ignored)) {
    const std::string near = suggestion(name, model_names());
    if (!near.empty()) fail(ErrorCode::io, name, ": neither a file nor a model's name", near);
  }
  return name;
}

}  // namespace

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  if (has_default_model()) names.emplace_back(default_name);
#if ATROUS_HAS_FETCH
  for (const PublishedCheckpoint& p : published_checkpoints()) names.emplace_back(p.name);
#endif
  return names;
}

Model open_model(const std::string& name, const ModelOptions& options) {
  if (name == default_name) return load_default_model(options);
  if (name.starts_with(seeded_prefix))
    return make_model(seeded_state(std::string_view(name).substr(seeded_prefix.size())), std::nullopt,
                      options);
  return load_model(path_of(name), options);
}

Checkpoint open_checkpoint(const std::string& name) {
  if (name == default_name) return load_checkpoint(default_model_file(), "the default model");
  if (name.starts_with(seeded_prefix))
    fail(ErrorCode::invalid_argument, name, ": random weights are in no file");
  return load_checkpoint(path_of(name));
}

std::string sha256_of_model(const std::string& name) {
  return name == default_name ? sha256_of_bytes(default_model_file()) : sha256_of_file(path_of(name));
}

}  // namespace atrous::cli
