#include "weights_tools/safetensors/safetensors_index.h"

#include <algorithm>
#include <filesystem>
#include <unordered_map>
#include <unordered_set>

#include "layers/base/error.h"
#include "layers/base/naming.h"
#include "weights_tools/io/bytes.h"
#include "weights_tools/io/clean_text.h"
#include "weights_tools/io/json.h"
#include "weights_tools/safetensors/safetensors.h"

namespace atrous {

namespace {

using WeightMap = std::vector<std::pair<std::string, std::string>>;

constexpr std::size_t most_listed = 20;

void check_shard_name(std::string_view name) {
  constexpr std::string_view suffix = ".safetensors";
  constexpr std::size_t longest = 255;  // of a file's name
  const bool plain = is_clean_text(name) && name.find_first_of("/\\") == name.npos && !name.starts_with('.');
  if (!plain || !name.ends_with(suffix) || name.size() > longest)
    fail(ErrorCode::malformed, "the index names the shard ", printable(name),
         ", which is not the plain name of a .safetensors file");
}

class IndexReader final : public JsonEvents {
 public:
  WeightMap take();

  void null() override { refuse_in_map(); }
  void boolean(bool) override { refuse_in_map(); }
  void negative_integer(std::int64_t) override { refuse_in_map(); }
  void natural_number(std::uint64_t) override { refuse_in_map(); }
  void floating_point(double, std::string_view) override { refuse_in_map(); }
  void string(std::string& value) override;
  void start_object() override;
  void key(std::string& name) override;
  void end_object() override { --depth_; }
  void start_list() override;
  void end_list() override { --depth_; }
  void malformed(std::size_t position) override {
    fail(ErrorCode::malformed, "the index is not UTF-8 JSON, from its byte ", position, " on");
  }

 private:
  bool in_map() const { return depth_ == 2 && key_ == "weight_map"; }
  void refuse_in_map() const;

  WeightMap map_;
  std::unordered_set<std::string> tensors_, shards_, top_;
  std::string key_, tensor_;  // the last ones at the top and in the map
  int depth_ = 0;
  bool has_map_ = false;
};

WeightMap IndexReader::take() {
  if (!has_map_) fail(ErrorCode::malformed, "the index has no weight_map");
  return std::move(map_);
}

// A value that is no string.
void IndexReader::refuse_in_map() const {
  if (in_map())
    fail(ErrorCode::malformed, "the index gives ", printable(tensor_), " something other than a name");
  if (depth_ == 1 && key_ == "weight_map") fail(ErrorCode::malformed, "the index's weight_map is no object");
}

void IndexReader::string(std::string& value) {
  if (!in_map()) return refuse_in_map();
  check_shard_name(value);
  if (shards_.insert(value).second && shards_.size() > safetensors_shard_limit)
    fail(ErrorCode::limit, "the index names more than ", safetensors_shard_limit, " shards");
  map_.emplace_back(tensor_, std::move(value));
}

void IndexReader::start_object() {
  constexpr int deepest = 16;
  if (in_map()) refuse_in_map();
  if (++depth_ > deepest) fail(ErrorCode::malformed, "the index nests more than ", deepest, " values deep");
  has_map_ |= in_map();
}

void IndexReader::start_list() {
  refuse_in_map();
  if (depth_ == 0) fail(ErrorCode::malformed, "the index is a list, not an object");
  start_object();
}

void IndexReader::key(std::string& name) {
  if (depth_ == 1) {
    key_ = name;
    if (!top_.insert(name).second)
      fail(ErrorCode::malformed, "the index has the key ", printable(name), " twice");
  } else if (in_map()) {
    check_key(name);
    tensor_ = name;
    if (!tensors_.insert(std::move(name)).second)
      fail(ErrorCode::malformed, "the index gives ", printable(tensor_), " twice");
  }
}

std::string list_some(const std::vector<std::string>& names) {
  std::string out;
  for (std::size_t i = 0; i < std::min(names.size(), most_listed); ++i) out += (i ? ", " : "") + names[i];
  return names.size() > most_listed ? str_cat(out, " and ", names.size() - most_listed, " more") : out;
}

StateDict read_shard(const InputFile& file, const std::string& name) {
  return naming(
      "the shard " + name, [&] { return read_safetensors(file).state; }, ErrorCode::io);
}

}  // namespace

std::vector<std::pair<std::string, std::string>> parse_safetensors_index(std::string_view json) {
  // The JSON library takes a NUL for the end; other readers would see what follows.
  if (json.find('\0') != json.npos)
    fail(ErrorCode::malformed, "the index has a NUL byte at ", json.find('\0'));
  IndexReader reader;
  parse_json(json, reader);
  return reader.take();
}

StateDict read_safetensors_shards(const InputFile& index, const OpenShard& open) {
  if (index.size() > safetensors_index_limit)
    fail(ErrorCode::limit, "the index has ", index.size(), " bytes, the limit is ", safetensors_index_limit);
  std::vector<std::byte> json(static_cast<std::size_t>(index.size()));
  index.read(0, json);
  const WeightMap map = parse_safetensors_index(as_text(json));
  std::vector<std::string> shards, missing;
  std::unordered_map<std::string_view, std::string_view> place;
  for (const auto& [tensor, shard] : map) place.emplace(tensor, shard);
  std::unordered_map<std::string_view, std::size_t> expected;
  for (const auto& [tensor, shard] : map)
    if (expected[shard]++ == 0) shards.push_back(shard);
  for (const std::string& shard : shards)
    if (!open(shard)) missing.push_back(shard);
  if (!missing.empty())
    fail(ErrorCode::io, index.path(),
         ": the index names shards that are not beside it: ", list_some(missing));

  StateDict out;
  for (const std::string& shard : shards) {
    const auto file = open(shard);
    if (!file) fail(ErrorCode::io, index.path(), ": the shard ", shard, " is gone");
    const StateDict state = read_shard(*file, shard);
    for (const auto& [name, tensor] : state.entries()) {
      const auto at = place.find(name);
      if (at == place.end() || at->second != shard)
        fail(ErrorCode::malformed, "the shard ", shard, " holds ", name, ", which the index gives ",
             at == place.end() ? std::string("no place") : "to " + std::string(at->second));
      out.add(name, tensor);
    }
    if (state.size() == expected[shard]) continue;
    std::vector<std::string> absent;
    for (const auto& [tensor, of] : map)
      if (of == shard && !state.find(tensor)) absent.push_back(tensor);
    fail(ErrorCode::malformed, "the shard ", shard, " lacks ", list_some(absent),
         ", which the index gives to it");
  }
  return out;
}

OpenShard shards_beside(const std::string& index_path) {
  const std::filesystem::path folder = std::filesystem::path(index_path).parent_path();
  return [folder](const std::string& name) -> std::unique_ptr<InputFile> {
    const std::string path = (folder / name).string();
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) return nullptr;
    return std::make_unique<InputFile>(path);
  };
}

}  // namespace atrous
