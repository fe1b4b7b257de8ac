#include "cli/manifest.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <span>

#include "cli/model_argument.h"
#include "cli/shard_option.h"
#include "layers/base/error.h"
#include "runtime/engine/program.h"
#include "weights_tools/io/sha256.h"

namespace atrous::cli {

namespace {

constexpr std::int64_t largest_tar = std::int64_t{1} << 60;

RunIdentity identity_of(const SegmentArguments& o, const Model& model, const std::vector<Input>& all,
                        const std::vector<std::pair<std::string, std::string>>& given) {
  std::string names;
  for (const Input& input : all) names += str_cat(input.path, '\n', input.stem, '\n');
  const std::string digest = sha256_of_model(o.run.model);
  RunIdentity identity{
      {"model", digest.empty() ? o.run.model : "sha256 " + digest},
      {"device", model.program->runs_on()},
      {"precision", std::string(model.program->precision())},
      {"pictures", str_cat(all.size(), ", sha256 ", sha256_of_bytes(std::as_bytes(std::span(names))))}};
  identity.insert(identity.end(), given.begin(), given.end());
  return identity;
}

}  // namespace

Shard Manifest::check(const SegmentArguments& o, std::vector<Input>& inputs) {
  if (o.shard.empty() && o.resume.empty() && o.pack.empty()) return {};
  const char* asked = !o.pack.empty() ? "--pack" : !o.resume.empty() ? "--resume" : "--shard";
  const std::pair<const char*, bool> unfit[] = {
      {"--stream", o.stream},
      {"-o -", o.to_stdout()},
      {"-o", !o.pack.empty() && !o.output.empty()},
      {"standard input", std::ranges::count(inputs, "-", &Input::path) > 0},
      {"--json", !o.resume.empty() && !o.json.empty()},
      {"--logits", !o.logits.empty()},
      {"--probabilities", !o.probabilities.empty()},
      {"--instances", !o.pack.empty() && !o.instances.folder.empty()},
      {"--tile", !o.pack.empty() && o.protocol.tiling().has_value()}};
  for (const auto& [option, given] : unfit)
    if (given) throw UsageError{str_cat(asked, " does not go with ", option)};
  for (const std::string& path : {o.resume, o.pack})
    if (!path.empty()) check_output(path);
  if (!o.pack.empty())
    for (Input& input : inputs)
      if (input.stem.starts_with("./")) input.stem.erase(0, 2);
  return parse_shard(o.shard).value_or(Shard());
}

Manifest::Manifest(const SegmentArguments& o, const Shard& shard, const Model& model, std::vector<Input> all,
                   const std::vector<std::pair<std::string, std::string>>& given)
    : size_(shard.size(all.size())) {
  std::set<std::size_t> done;
  std::uint64_t packed = 0;
  if (!o.resume.empty()) {
    const StateReader reader{o.resume};
    journal_.emplace(o.resume,
                     JournalHead{.kind = "pictures",
                                 .shard = shard,
                                 .images = all.size(),
                                 .identity = identity_of(o, model, all, given)},
                     [&](const Json& record) {
                       const auto number = static_cast<std::size_t>(
                           reader.integer(record, "number", 1, static_cast<std::int64_t>(all.size())));
                       packed = static_cast<std::uint64_t>(reader.integer(record, "packed", 0, largest_tar));
                       if (reader.member(record, "error").is_null()) done.insert(number);
                     });
  }
  for (std::size_t place = 0; place < size_; ++place) {
    const std::size_t at = shard.at(place);
    if (done.contains(at + 1)) continue;
    inputs_.push_back(std::move(all[at]));
    numbers_.push_back(at + 1);
  }
  std::error_code ignored;
  const bool is_whole = inputs_.empty() && std::filesystem::exists(o.pack, ignored) &&
                        !std::filesystem::exists(o.pack + ".part", ignored);
  if (!o.pack.empty() && !is_whole) tar_.emplace(o.pack, packed);
}

// First the results, then the record that they are there, on the disk too.
void Manifest::add(const PictureDone& done, const PackedFiles& packed) {
  for (const auto& [name, bytes] : packed) tar_->add(name, bytes);
  if (!journal_) return;
  if (++unsynced_ == Journal::lines_a_sync) {
    if (tar_) tar_->sync();
    unsynced_ = 0;
  }
  journal_->append(json_object({{"number", numbers_[done.place]},
                                {"input", inputs_[done.place].path},
                                {"sha256", done.sha256},
                                {"outputs", json_list(done.outputs)},
                                {"seconds", done.seconds},
                                {"error", done.error},
                                {"packed", tar_ ? tar_->size() : 0}}));
}

void Manifest::finish() {
  if (tar_) tar_->finish();
  if (journal_) journal_->sync();
}

}  // namespace atrous::cli
