#include "weights_tools/config.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "layers/base/error.h"
#include "weights_tools/io/bytes.h"
#include "weights_tools/io/file.h"
#include "weights_tools/io/json.h"

namespace atrous {

namespace {

constexpr int deepest = 16;

std::optional<std::string> plain_text(const Json& value) {
  if (value.is_null() || value.object() || value.list()) return std::nullopt;
  return value.string() ? *value.string() : json_text(value).text;
}

std::optional<std::string> as_config_text(const Json& value) {
  if (!value.list()) return plain_text(value);
  std::string joined;
  for (const Json& entry : *value.list()) {
    const std::optional<std::string> one = plain_text(entry);
    if (!one) return std::nullopt;
    joined += (joined.empty() ? "" : ",") + *one;
  }
  return joined;
}

bool has_own_config(const std::string& name) {
  return name == "model.safetensors" || name == "model.safetensors.index.json" || name == "pytorch_model.bin";
}

}  // namespace

Config read_config(std::string_view json, std::string_view name) try {
  if (json.size() > config_limit)
    fail(ErrorCode::limit, name, ": has ", json.size(), " bytes, more than the limit of ", config_limit);
  const std::optional<Json> read = parse_json(json, deepest, name);
  if (!read) fail(ErrorCode::malformed, name, ": is not UTF-8 JSON");
  if (!read->object()) fail(ErrorCode::malformed, name, ": is JSON, but no object");
  Config config;
  const auto add = [&](std::string key, const Json& value) {
    if (std::optional<std::string> text = as_config_text(value))
      config.emplace(std::move(key), *std::move(text));
  };
  for (const JsonMember& member : *read->object()) {
    add(member.key, member.value);
    if (const auto* inner = member.value.object())
      for (const JsonMember& below : *inner) add(str_cat(member.key, '.', below.key), below.value);
  }
  return config;
} catch (...) {
  rethrow_as_error();
}

Config config_beside(const std::string& checkpoint_path) try {
  const std::filesystem::path checkpoint(checkpoint_path);
  const std::string path = (checkpoint.parent_path() / "config.json").string();
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return {};
  try {
    return read_config(as_text(read_file(path, config_limit)), path);
  } catch (const OutOfMemory&) {
    throw;
  } catch (const Error&) {
    if (has_own_config(checkpoint.filename().string())) throw;
    return {};
  }
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
