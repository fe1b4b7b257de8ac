#include "runtime/segment/named_model.h"

#include <string_view>

#include "layers/base/error.h"
#include "weights_tools/default_model.h"
#include "weights_tools/seeded.h"

namespace atrous {

namespace {

constexpr std::string_view seeded_prefix = "seeded:";

}  // namespace

bool names_default_model(const std::string& name) { return name == "default"; }
std::span<const std::byte> built_in_model(const std::string& name) try {
  if (names_default_model(name)) return default_model_file();
  return name == "voc" ? voc_model_file() : std::span<const std::byte>();
} catch (...) {
  rethrow_as_error();
}
bool names_seeded_model(const std::string& name) { return name.starts_with(seeded_prefix); }
StateDict seeded_model_state(const std::string& name) try {
  return seeded_state(std::string_view(name).substr(seeded_prefix.size()));
} catch (...) {
  rethrow_as_error();
}

Model load_named_model(const std::string& name, const ModelOptions& options,
                       const std::function<std::string(const std::string&)>& path_of) try {
  if (names_default_model(name)) return load_default_model(options);
  if (const auto file = built_in_model(name); !file.empty()) return load_model(file, name, options);
  if (!names_seeded_model(name)) return load_model(path_of(name), options);
  if (!options.weights.empty())
    fail(ErrorCode::invalid_argument, name, ": random weights have no prefix to choose");
  ModelOptions named = options;
  named.name = name;
  return make_model(seeded_model_state(name), std::nullopt, named);
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
