#include "cli/model_argument.h"

#include <filesystem>

#include "cli/cli.h"
#include "cli/suggest.h"
#include "layers/base/error.h"
#include "weights_tools/default_model.h"
#include "weights_tools/io/sha256.h"
#include "weights_tools/seeded.h"

#if ATROUS_HAS_FETCH
#include "cli/cache.h"
#include "weights_tools/download/catalogue.h"
#endif

namespace atrous::cli {

namespace {

constexpr std::string_view default_name = "default", seeded_prefix = "seeded:";

// The path of a published checkpoint, downloaded where it is not there yet; nothing for other names.
#if ATROUS_HAS_FETCH
std::optional<std::string> published_path(const std::string& name) {
  if (!find_published(name)) return std::nullopt;
  const auto cached = cached_checkpoint(name);
  return cached ? cached : fetch_checkpoint(name);
}
#else
std::optional<std::string> published_path(const std::string&) { return std::nullopt; }
#endif

// The file that a name or path stands for; not for the default nor for seeded weights.
std::string path_of(const std::string& name) {
  if (const auto path = published_path(name)) return *path;
  std::error_code ignored;
  if (name.find('/') == name.npos && !std::filesystem::exists(name, ignored)) {
    const std::string near = suggestion(name, model_names());
    if (!near.empty()) fail(ErrorCode::io, name, ": neither a file nor a model's name", near);
  }
  return checkpoint_file(name);
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
  if (name.starts_with(seeded_prefix) && !options.weights.empty())
    fail(ErrorCode::invalid_argument, name, ": random weights have no prefix to choose");
  if (name.starts_with(seeded_prefix)) {
    ModelOptions named = options;
    named.name = name;
    return make_model(seeded_state(std::string_view(name).substr(seeded_prefix.size())), std::nullopt, named);
  }
  return load_model(path_of(name), options);
}

Checkpoint open_checkpoint(const std::string& name, const std::string& weights) {
  const LoadOptions options{.weights = weights};
  if (name == default_name) return load_checkpoint(default_model_file(), "the default model", options);
  if (name.starts_with(seeded_prefix))
    return {.state = seeded_state(std::string_view(name).substr(seeded_prefix.size())),
            .metadata = {},
            .config = {},
            .container = Container::seeded,
            .notes = {},
            .choice = {}};
  return load_checkpoint(path_of(name), options);
}

void notify_choice(const std::string& name, const Model& model) {
  if (!model.choice.empty()) note(name + ": " + model.choice);
}

std::string sha256_of_model(const std::string& name) {
  if (name.starts_with(seeded_prefix)) return "";
  return name == default_name ? sha256_of_bytes(default_model_file()) : sha256_of_file(path_of(name));
}

}  // namespace atrous::cli
