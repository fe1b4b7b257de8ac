#include "weights_tools/checkpoint.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "layers/base/ascii.h"
#include "layers/base/error.h"
#include "weights_tools/io/bytes.h"
#include "weights_tools/io/clean_text.h"
#include "weights_tools/io/file.h"
#include "weights_tools/io/file_kind.h"
#include "weights_tools/io/network_choice.h"
#include "weights_tools/safetensors/safetensors.h"
#include "weights_tools/safetensors/safetensors_index.h"

#if ATROUS_HAS_PICKLE
#include "weights_tools/torch/pth.h"
#endif
#if ATROUS_HAS_CAFFE
#include "weights_tools/caffe/caffemodel.h"
#endif

namespace atrous {

namespace {

using namespace std::string_view_literals;

#if ATROUS_HAS_PICKLE
NetworkWeights read_pth(const InputFile& file, Container container, const std::string& asked) {
  return container == Container::pth_zip ? read_pth_zip(file, asked) : read_pth_legacy(file, asked);
}
#else
NetworkWeights read_pth(const InputFile&, Container, const std::string&) {
  fail(ErrorCode::unsupported,
       "this atrous was built without the pickle reader: convert the file to .safetensors first");
}
#endif

// A buffer of three numbers, one a channel.
std::array<float, 3> read_buffer(std::string_view name, const StateTensor& tensor) {
  constexpr std::array<std::int64_t, 4> expected{1, 3, 1, 1};
  if (!std::ranges::equal(tensor.shape, expected))
    fail(ErrorCode::unsupported, "the buffer ", name,
         " beside the network, by which photos are normalised: ", "expected ", shape_text(expected),
         ", found ", shape_text(tensor.shape));
  std::array<float, 3> values;
  std::copy_n(to_float(tensor).get(), values.size(), values.begin());
  if (!std::ranges::all_of(values, [](float x) { return std::isfinite(x); }))
    fail(ErrorCode::malformed, "the buffer ", name, " beside the network is not finite");
  return values;
}

std::optional<Normalisation> normalisation_of(const StateDict& beside) {
  const StateTensor *mean = beside.find("mean"), *std = beside.find("std");
  if (!mean || !std) return std::nullopt;
  Normalisation out{.mean = read_buffer("mean", *mean), .std = read_buffer("std", *std)};
  for (const float x : out.std)
    if (!(x > 0)) fail(ErrorCode::malformed, "the buffer std beside the network: ", x, " is not positive");
  out.range = std::ranges::all_of(out.mean, [](float x) { return x <= 1; }) ? 1 : 255;
  return out;
}

#if ATROUS_HAS_CAFFE
bool is_caffemodel(const InputFile& file) { return looks_like_caffemodel(file); }
StateDict read_caffe(const InputFile& file) { return read_caffemodel(file); }
#else
// By its name alone: the content has no signature.
bool is_caffemodel(const InputFile& file) { return file.path().ends_with(".caffemodel"); }
StateDict read_caffe(const InputFile&) {
  fail(ErrorCode::unsupported,
       "this atrous was built without the Caffe reader: convert the file to .safetensors first");
}
#endif

Checkpoint make_checkpoint(NetworkWeights weights, Container container) {
  const std::optional<Normalisation> normalisation = normalisation_of(weights.beside);
  if (normalisation) {
    weights.notes.emplace_back("took mean and std beside the network");
  } else if (weights.beside.size() > 0) {
    const std::string said =
        "left out " + weights.beside.entries()[0].first + " beside the network, one of mean and std alone";
    if (!weights.choice.empty()) weights.choice += "; ";
    weights.choice += said;
    weights.notes.push_back(said);
  }
  return {.state = std::move(weights.state),
          .metadata = std::nullopt,
          .config = {},
          .container = container,
          .notes = std::move(weights.notes),
          .choice = std::move(weights.choice),
          .arch = std::move(weights.arch),
          .normalisation = normalisation};
}

using SharedFile = std::shared_ptr<const InputFile>;

Checkpoint load_safetensors(const InputFile& file, const SharedFile& kept, const std::string& asked) {
  const Safetensors read = read_safetensors(file, kept);
  Checkpoint out = make_checkpoint(take_network(read.state, asked), Container::safetensors);
  out.metadata = metadata_from_strings(read.metadata);
  return out;
}

// `open` is empty for an index in memory.
Checkpoint load_shards(const InputFile& index, const OpenShard& open, const std::string& asked) {
  if (!open)
    fail(ErrorCode::unsupported,
         "is the index of a checkpoint in several files, which lie beside it: give its path");
  return make_checkpoint(take_network(read_safetensors_shards(index, open), asked),
                         Container::safetensors_index);
}

// Nothing else in JSON is called weight_map. It may stand behind any number of other keys.
bool looks_like_index(const InputFile& file, std::string_view head) {
  if (head.starts_with("\xef\xbb\xbf"sv)) head.remove_prefix(3);  // a byte order mark
  head.remove_prefix(std::min(head.find_first_not_of(" \t\r\n"), head.size()));
  if (!head.empty() && head.front() != '{') return false;
  std::vector<std::byte> json(static_cast<std::size_t>(std::min(file.size(), safetensors_index_limit)));
  file.read(0, json);
  return as_text(json).find("\"weight_map\"") != std::string_view::npos;
}

Container recognise(const InputFile& file, std::string_view head) {
  if (head.starts_with("PK\x03\x04"sv) || head.starts_with("PK\x05\x06"sv)) return Container::pth_zip;
  if (head.size() >= 2 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5) return Container::pth_legacy;
  // Eight bytes of length, of which the upper ones are zero, then JSON.
  if (head.size() >= 9 && head[8] == '{' && head.substr(5, 3) == "\0\0\0"sv) return Container::safetensors;
  if (is_caffemodel(file)) return Container::caffemodel;
  if (looks_like_index(file, head)) return Container::safetensors_index;
  const std::string_view found = describe_file(head);
  fail(ErrorCode::unsupported, "is ",
       found.empty() ? "not a checkpoint: neither .pth (zip or legacy), .safetensors nor .caffemodel"sv
                     : found);
}

bool all_begin_with(const StateDict& state, std::string_view prefix) {
  return std::ranges::all_of(state.entries(), [prefix](const auto& entry) {
    return entry.first.size() > prefix.size() && entry.first.starts_with(prefix);
  });
}

StateDict without_prefix(const StateDict& state, std::string_view prefix) {
  StateDict out;
  for (const auto& [name, tensor] : state.entries()) out.add(name.substr(prefix.size()), tensor);
  return out;
}

void strip_prefixes(Checkpoint& checkpoint) {
  constexpr std::array prefixes{"module."sv, "_orig_mod."sv, "model."sv};
  const auto shared = [&] {
    return std::ranges::find_if(
        prefixes, [&](std::string_view prefix) { return all_begin_with(checkpoint.state, prefix); });
  };
  for (auto prefix = shared(); prefix != prefixes.end(); prefix = shared()) {
    checkpoint.state = without_prefix(checkpoint.state, *prefix);
    checkpoint.notes.push_back(str_cat("stripped the prefix ", *prefix));
  }
}

Checkpoint load(const SharedFile& shared, Container container, const OpenShard& open,
                const LoadOptions& options) {
  const InputFile& file = *shared;
  const std::string& asked = options.weights;
  switch (container) {
    case Container::safetensors:
      return load_safetensors(file, options.keep_stored ? shared : nullptr, asked);
    case Container::safetensors_index:
      return load_shards(file, open, asked);
    case Container::caffemodel:
      return make_checkpoint(take_network(read_caffe(file), asked), container);
    default:
      return make_checkpoint(read_pth(file, container, asked), container);
  }
}

Checkpoint load(const SharedFile& shared, const OpenShard& open, const LoadOptions& options) {
  const InputFile& file = *shared;
  std::array<std::byte, described_bytes> bytes;
  const auto head =
      std::span(bytes).first(static_cast<std::size_t>(std::min<std::uint64_t>(file.size(), bytes.size())));
  file.read(0, head);
  Checkpoint out = load(shared, recognise(file, as_text(head)), open, options);
  if (out.state.size() == 0) fail(ErrorCode::malformed, "holds no tensors");
  strip_prefixes(out);
  return out;
}

Checkpoint load_named(const SharedFile& file, const OpenShard& open, const LoadOptions& options) {
  try {
    return load(file, open, options);
  } catch (const Error& e) {
    if (e.code() == ErrorCode::io) throw;  // those name the path themselves
    fail(e.code(), file->path(), ": ", e.what());
  }
}

// Of a folder: the files whose names end so, sorted.
std::vector<std::string> files_ending(const std::string& folder, std::string_view ending) {
  std::vector<std::string> found;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error))
    if (std::string path = entry->path().string();
        path.ends_with(ending) && !entry->path().filename().string().starts_with('.'))
      found.push_back(std::move(path));
  if (error) fail(ErrorCode::io, folder, ": cannot be listed: ", error.message());
  std::ranges::sort(found);
  return found;
}

}  // namespace

std::string checkpoint_file(const std::string& path) try {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) return path;
  constexpr std::string_view best = "model.safetensors", last = "pytorch_model.bin";
  const auto inside = [&](std::string_view name) { return (fs::path(path) / name).string(); };
  if (fs::exists(inside(best), ignored)) return inside(best);
  for (const std::string_view ending : {".safetensors.index.json"sv, ".safetensors"sv}) {
    const std::vector<std::string> found = files_ending(path, ending);
    if (found.size() > 1)
      fail(ErrorCode::unsupported, path, ": is a folder of ", found.size(), " checkpoints, ",
           fs::path(found[0]).filename().string(), " and ", fs::path(found[1]).filename().string(),
           found.size() > 2 ? " among them" : "", ": give the path of one");
    if (!found.empty()) return found.front();
  }
  if (fs::exists(inside(last), ignored)) return inside(last);
  fail(ErrorCode::io, path, ": is a folder without ", best,
       ", another .safetensors, the index of several, or ", last);
} catch (...) {
  rethrow_as_error();
}

std::string_view name_of(Container container) {
  switch (container) {
    case Container::pth_zip:
      return "zip .pth";
    case Container::pth_legacy:
      return "legacy .pth";
    case Container::safetensors:
      return ".safetensors";
    case Container::safetensors_index:
      return "sharded .safetensors";
    case Container::seeded:
      return "no file";
    case Container::caffemodel:
      return ".caffemodel";
  }
  return "?";
}

Checkpoint load_checkpoint(const std::string& path, const LoadOptions& options) try {
  const std::string file = checkpoint_file(path);
  Checkpoint out = load_named(std::make_shared<const InputFile>(file), shards_beside(file), options);
  if (!out.metadata) out.config = config_beside(file);
  return out;
} catch (...) {
  rethrow_as_error();
}

Checkpoint load_checkpoint(std::span<const std::byte> bytes, const std::string& name,
                           const LoadOptions& options) try {
  return load_named(std::make_shared<const InputFile>(bytes, name), nullptr, options);
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
