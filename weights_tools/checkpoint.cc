#include "weights_tools/checkpoint.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <utility>

#include "layers/base/error.h"
#include "layers/visible_text.h"
#include "weights_tools/io/bytes.h"
#include "weights_tools/io/clean_text.h"
#include "weights_tools/io/file.h"
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

bool looks_like_text(std::string_view head) {
  return std::ranges::all_of(
      head, [](char c) { return (c >= ' ' && c <= '~') || c == '\n' || c == '\r' || c == '\t'; });
}

bool looks_like_html(std::string_view head) {
  head.remove_prefix(std::min(head.find_first_not_of(" \t\r\n"), head.size()));
  if (!head.starts_with('<')) return false;
  std::string lower(head.substr(0, 16));
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return lower.starts_with("<!doctype html") || lower.starts_with("<html") || lower.starts_with("<head");
}

// What a file is that is no checkpoint, in words that say what went wrong.
std::string_view describe_foreign(std::string_view head) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 9> beginnings{{
      {"version https://git-lfs"sv, "a Git LFS pointer: the real file was not downloaded"sv},
      {"\xff\xd8\xff"sv, "a JPEG image"sv},
      {"\x89PNG"sv, "a PNG image"sv},
      {"GIF8"sv, "a GIF image"sv},
      {"\x89HDF"sv, "an HDF5 file (Keras?), not a torch checkpoint"sv},
      {"\x1f\x8b"sv, "compressed by gzip: unpack it first"sv},
      {"BZh"sv, "compressed by bzip2: unpack it first"sv},
      {"GGUF"sv, "a GGUF file, not a torch checkpoint"sv},
      {"%PDF"sv, "a PDF document"sv},
  }};
  if (head.empty()) return "empty";
  if (looks_like_html(head)) return "a web page: the download failed or asked for a login";
  for (const auto& [beginning, description] : beginnings)
    if (head.starts_with(beginning)) return description;
  // A tar archive has its magic at byte 257; torch before 0.2 wrote tars with `storages`, `tensors` and
  // `pickle`.
  if (head.size() >= 262 && head.substr(257, 5) == "ustar")
    return "a tar archive, the container of torch before 0.2: load and save it with a newer torch";
  if (looks_like_text(head)) return "a text file";
  return "not a checkpoint: neither .pth (zip or legacy) nor .safetensors";
}

Container recognise(std::string_view head) {
  if (head.starts_with("PK\x03\x04"sv) || head.starts_with("PK\x05\x06"sv)) return Container::pth_zip;
  if (head.size() >= 2 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5) return Container::pth_legacy;
  // Eight bytes of length, of which the upper ones are zero, then JSON.
  if (head.size() >= 9 && head[8] == '{' && head.substr(5, 3) == "\0\0\0"sv) return Container::safetensors;
  fail(ErrorCode::unsupported, "is ", describe_foreign(head));
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
  std::array<std::byte, 512> bytes;
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
