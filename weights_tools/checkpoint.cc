#include "weights_tools/checkpoint.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <utility>

#include "layers/base/error.h"
#include "layers/base/visible_text.h"
#include "weights_tools/io/bytes.h"
#include "weights_tools/io/clean_text.h"
#include "weights_tools/io/file.h"
#include "weights_tools/io/foreign.h"
#include "weights_tools/safetensors/safetensors.h"

#ifndef ATROUS_HAS_PICKLE
#define ATROUS_HAS_PICKLE 1
#endif
#if ATROUS_HAS_PICKLE
#include "weights_tools/torch/pth.h"
#endif

namespace atrous {

namespace {

using namespace std::string_view_literals;

#if ATROUS_HAS_PICKLE
Checkpoint load_pth(const InputFile& file, Container container) {
  PthCheckpoint pth = container == Container::pth_zip ? read_pth_zip(file) : read_pth_legacy(file);
  return {std::move(pth.state), std::nullopt, container, std::move(pth.notes)};
}
#else
Checkpoint load_pth(const InputFile&, Container) {
  fail(ErrorCode::unsupported,
       "this atrous was built without the pickle reader: convert the file to .safetensors first");
}
#endif

Checkpoint load_safetensors(const InputFile& file) {
  Safetensors read = read_safetensors(file);
  return {std::move(read.state), metadata_from_strings(read.metadata), Container::safetensors, {}};
}

Container recognise(std::string_view head) {
  if (head.starts_with("PK\x03\x04"sv) || head.starts_with("PK\x05\x06"sv)) return Container::pth_zip;
  if (head.size() >= 2 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5) return Container::pth_legacy;
  // Eight bytes of length, of which the upper ones are zero, then JSON.
  if (head.size() >= 9 && head[8] == '{' && head.substr(5, 3) == "\0\0\0"sv) return Container::safetensors;
  const std::string_view found = describe_file(head);
  fail(ErrorCode::unsupported, "is ",
       found.empty() ? "not a checkpoint: neither .pth (zip or legacy) nor .safetensors"sv : found);
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
    checkpoint.notes.push_back(text("stripped the prefix ", *prefix));
  }
}

Checkpoint load(const InputFile& file) {
  std::array<std::byte, described_bytes> bytes;
  const auto head =
      std::span(bytes).first(static_cast<std::size_t>(std::min<std::uint64_t>(file.size(), bytes.size())));
  file.read(0, head);
  const Container container = recognise(as_text(head));
  Checkpoint out = container == Container::safetensors ? load_safetensors(file) : load_pth(file, container);
  if (out.state.size() == 0) fail(ErrorCode::malformed, "holds no tensors");
  strip_prefixes(out);
  return out;
}

Checkpoint load_named(const InputFile& file) {
  try {
    return load(file);
  } catch (const Error& e) {
    if (e.code() == ErrorCode::io) throw;  // those name the path themselves
    throw Error(e.code(), visible(file.path()) + ": " + e.what());
  }
}

}  // namespace

std::string_view name_of(Container container) {
  switch (container) {
    case Container::pth_zip:
      return "zip .pth";
    case Container::pth_legacy:
      return "legacy .pth";
    case Container::safetensors:
      return ".safetensors";
  }
  return "?";
}

Checkpoint load_checkpoint(const std::string& path) { return load_named(InputFile(path)); }

Checkpoint load_checkpoint(std::span<const std::byte> bytes, const std::string& name) {
  return load_named(InputFile(bytes, name));
}

}  // namespace atrous
