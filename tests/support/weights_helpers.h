// Checkpoints built byte by byte, so that a test can break exactly one thing.
#pragma once

#include <doctest/doctest.h>
#include <libdeflate.h>
#include <stdlib.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "layers/base/error.h"
#include "layers/graph/state_dict.h"
#include "weights_tools/io/bytes.h"
#include "weights_tools/io/file.h"

namespace atrous::weights_testing {

using Bytes = std::string;

class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "atrous-test-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  std::string path(std::string_view name) const { return (path_ / name).string(); }
  std::string save(std::string_view name, std::string_view bytes) const {
    write_file(path(name), as_bytes(bytes));
    return path(name);
  }
  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(path_), {}));
  }

 private:
  std::filesystem::path path_;
};

// A row of a table of bad files: what is wrong with it, and the code and a part of the sentence it is refused
// with.
struct BadFile {
  const char* defect;
  Bytes bytes;
  ErrorCode code;
  const char* part;
};

struct Refusal {
  ErrorCode code = ErrorCode::invalid_argument;
  std::string sentence;
};

// The Error that `action` throws; REQUIREs that there is one.
template <class Action>
Refusal refusal_of(Action&& action) {
  std::optional<Refusal> refusal;
  try {
    action();
  } catch (const Error& e) {
    refusal = {e.code(), e.what()};
  }
  REQUIRE(refusal.has_value());
  return *refusal;
}

template <class Action>
void check_refused(const Action& action, ErrorCode code, std::string_view part) {
  const Refusal refusal = refusal_of(action);
  INFO("sentence: ", refusal.sentence);
  INFO("expected: ", std::string(part));
  CHECK(refusal.code == code);
  CHECK(refusal.sentence.find(part) != std::string::npos);
}

template <class T>
Bytes le(T value) {
  Bytes out(sizeof value, '\0');
  std::memcpy(out.data(), &value, sizeof value);
  return out;
}
inline Bytes le16(std::uint64_t v) { return le(static_cast<std::uint16_t>(v)); }
inline Bytes le32(std::uint64_t v) { return le(static_cast<std::uint32_t>(v)); }
inline Bytes le64(std::uint64_t v) { return le(v); }
inline Bytes byte(int v) { return Bytes(1, static_cast<char>(v)); }

inline Bytes repeat(std::string_view bytes, std::size_t times) {
  Bytes out;
  for (std::size_t i = 0; i < times; ++i) out += bytes;
  return out;
}

inline Bytes floats(const std::vector<float>& values) {
  Bytes out;
  for (const float v : values) out += le(v);
  return out;
}

inline Bytes bytes_of(const StateTensor& t) { return Bytes(as_text(t.bytes())); }

// Pickles.

inline const Bytes proto = "\x80\x02";
inline const Bytes ordered_dict = "ccollections\nOrderedDict\n)R";

inline Bytes str(std::string_view s) { return "X" + le32(s.size()) + Bytes(s); }
inline Bytes num(std::int64_t n) { return "\x8a\x08" + le(n); }
inline Bytes global(std::string_view module, std::string_view name) {
  return "c" + Bytes(module) + "\n" + Bytes(name) + "\n";
}
inline Bytes tuple(const std::vector<std::int64_t>& values) {
  Bytes out = "(";
  for (const auto v : values) out += num(v);
  return out + "t";
}
inline Bytes storage(std::string_view key, std::int64_t elements, std::string_view type = "FloatStorage",
                     const Bytes& view = "") {
  return "(" + str("storage") + global("torch", type) + str(key) + str("cpu") + num(elements) + view + "tQ";
}
inline Bytes tensor(const Bytes& storage, std::int64_t offset, const std::vector<std::int64_t>& size,
                    const std::vector<std::int64_t>& stride) {
  return global("torch._utils", "_rebuild_tensor_v2") + "(" + storage + num(offset) + tuple(size) +
         tuple(stride) + "\x89" + ordered_dict + "tR";
}
using Items = std::vector<std::pair<std::string, Bytes>>;
inline Bytes dict(const Items& items) {
  Bytes out = ordered_dict + "(";
  for (const auto& [key, value] : items) out += str(key) + value;
  return out + "u";
}
inline Bytes pickled(const Bytes& value) { return proto + value + "."; }

// Zip archives.

struct ZipPart {
  Bytes name, data;
  std::uint16_t flags = 0x0808, method = 0;
  std::uint32_t crc_error = 0;        // added to the right one
  std::optional<Bytes> local_name{};  // where it differs
  std::optional<std::uint16_t> local_method{};
  std::optional<std::uint32_t> local_size{}, local_compressed{}, local_crc{};  // where bit 3 is clear
  std::optional<std::uint16_t> local_flags{};
  Bytes local_extra{};
  std::optional<std::uint32_t> size{}, compressed{}, offset{};
  Bytes extra{};  // of the central directory
};

struct ZipEnd {
  std::optional<std::uint16_t> entries{};
  std::optional<std::uint32_t> directory_size{}, directory_offset{};
  bool zip64 = false;
  std::optional<std::uint64_t> locator{}, directory_offset64{}, directory_size64{}, entries64{},
      record_size{};
  Bytes comment{};
};

inline Bytes zip(const std::vector<ZipPart>& parts, const ZipEnd& end = {}) {
  Bytes out, directory;
  for (const ZipPart& p : parts) {
    const std::uint32_t crc = libdeflate_crc32(0, p.data.data(), p.data.size()) + p.crc_error;
    const bool descriptor = p.flags & 8;
    const Bytes local_name = p.local_name.value_or(p.name);
    const std::size_t offset = out.size(), local_size = descriptor ? 0 : p.local_size.value_or(p.data.size());
    out += "PK\3\4" + le16(0) + le16(p.local_flags.value_or(p.flags)) +
           le16(p.local_method.value_or(p.method)) + le32(0) +
           le32(descriptor ? 0 : p.local_crc.value_or(crc)) +
           le32(p.local_compressed.value_or(static_cast<std::uint32_t>(local_size))) + le32(local_size) +
           le16(local_name.size()) + le16(p.local_extra.size()) + local_name + p.local_extra + p.data;
    if (descriptor) out += "PK\7\x08" + le32(crc) + le32(p.data.size()) + le32(p.data.size());
    directory += "PK\1\2" + le32(0) + le16(p.flags) + le16(p.method) + le32(0) + le32(crc) +
                 le32(p.compressed.value_or(p.data.size())) + le32(p.size.value_or(p.data.size())) +
                 le16(p.name.size()) + le16(p.extra.size()) + le16(0) + le16(0) + le16(0) + le32(0) +
                 le32(p.offset.value_or(offset)) + p.name + p.extra;
  }
  const std::size_t offset = out.size(), count = parts.size();
  out += directory;
  if (end.zip64) {
    const std::size_t record = out.size();
    const std::uint64_t entries64 = end.entries64.value_or(count);
    out += "PK\6\6" + le64(end.record_size.value_or(44)) + le16(45) + le16(45) + le32(0) + le32(0) +
           le64(entries64) + le64(entries64) + le64(end.directory_size64.value_or(directory.size())) +
           le64(end.directory_offset64.value_or(offset));
    out += "PK\6\7" + le32(0) + le64(end.locator.value_or(record)) + le32(1);
  }
  return out + "PK\5\6" + le16(0) + le16(0) + le16(end.entries.value_or(count)) +
         le16(end.entries.value_or(count)) + le32(end.directory_size.value_or(directory.size())) +
         le32(end.directory_offset.value_or(offset)) + le16(end.comment.size()) + end.comment;
}

// A torch checkpoint in a zip archive: its pickle and its storages by key.
inline Bytes pth_zip(const Bytes& pickle, const Items& storages, const std::string& folder = "archive/") {
  std::vector<ZipPart> parts{{folder + "data.pkl", pickle}};
  for (const auto& [key, data] : storages) parts.push_back({folder + "data/" + key, data});
  parts.push_back({folder + "version", "3\n"});
  return zip(parts);
}

// The same in the legacy container.
inline const Bytes legacy_magic = proto + "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
inline Bytes system_info(const Bytes& little = "\x88", std::int64_t short_size = 2) {
  return pickled("}(" + str("protocol_version") + num(1001) + str("little_endian") + little +
                 str("type_sizes") + "}(" + str("short") + num(short_size) + str("int") + num(4) +
                 str("long") + num(4) + "uu");
}
inline Bytes key_list(const std::vector<std::string>& keys) {
  Bytes out = "](";
  for (const auto& key : keys) out += str(key);
  return pickled(out + "e");
}
inline Bytes legacy_head() { return legacy_magic + pickled(num(1001)) + system_info(); }
inline Bytes stored(std::uint64_t count, const Bytes& data) { return le64(count) + data; }

}  // namespace atrous::weights_testing
