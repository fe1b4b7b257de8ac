#include "cli/model_argument.h"

#include <filesystem>

#include "cli/cli.h"
#include "cli/suggest.h"
#include "layers/base/error.h"
#include "runtime/segment/named_model.h"
#include "weights_tools/default_model.h"
#include "weights_tools/io/sha256.h"

#if ATROUS_HAS_FETCH
#include "cli/cache.h"
#include "weights_tools/download/store.h"
#endif

namespace atrous::cli {

namespace {

// The path of a published checkpoint, downloaded where it is not there yet; nothing for other names.
#if ATROUS_HAS_FETCH
std::optional<std::string> published_path(const std::string& name) {
  if (!find_published(name)) return std::nullopt;
  const auto cached = stored_checkpoint(name);
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
  if (has_default_model()) names.emplace_back("default");
  if (!voc_model_file().empty()) names.emplace_back("voc");
#if ATROUS_HAS_FETCH
  for (const PublishedCheckpoint& p : published_checkpoints()) names.emplace_back(p.name);
#endif
  return names;
}

Model open_model(const std::string& name, const ModelOptions& options) {
  return load_named_model(name, options, path_of);
}

Checkpoint open_checkpoint(const std::string& name, const std::string& weights) {
  const LoadOptions options{.weights = weights};
  if (const auto file = built_in_model(name); !file.empty())
    return load_checkpoint(file, names_default_model(name) ? "the default model" : name, options);
  if (names_seeded_model(name))
    return {.state = seeded_model_state(name),
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
  if (names_seeded_model(name)) return "";
  const auto file = built_in_model(name);
  return file.empty() ? sha256_of_file(path_of(name)) : sha256_of_bytes(file);
}

}  // namespace atrous::cli
