#include "weights_tools/torch/pth.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "layers/base/checked.h"
#include "layers/base/error.h"
#include "weights_tools/io/bytes.h"
#include "weights_tools/io/clean_text.h"
#include "weights_tools/torch/pickle.h"
#include "weights_tools/torch/torch_tensors.h"
#include "weights_tools/torch/zip.h"

namespace atrous {

namespace {

using EntryIndex = std::unordered_map<std::string_view, const ZipEntry*>;

std::vector<std::byte> read_entry(const InputFile& file, const ZipEntry& entry, std::uint64_t cap) {
  if (entry.size > cap)
    fail(ErrorCode::limit, "the zip entry ", entry.name, " has ", entry.size, " bytes, the limit is ", cap);
  std::vector<std::byte> bytes(static_cast<std::size_t>(entry.size));
  read_zip_entry(file, entry, bytes);
  return bytes;
}

// "FOLDER/" of the one FOLDER/data.pkl; empty when data.pkl lies in no folder.
std::string find_folder(const std::vector<ZipEntry>& entries) {
  constexpr std::string_view pickle_name = "data.pkl";
  std::optional<std::string> folder;
  for (const ZipEntry& entry : entries) {
    if (entry.name != pickle_name && !entry.name.ends_with("/data.pkl")) continue;
    if (folder)
      fail(ErrorCode::malformed, "the zip archive has two pickles: ", *folder, pickle_name, " and ",
           entry.name);
    folder = entry.name.substr(0, entry.name.size() - pickle_name.size());
  }
  if (!folder) fail(ErrorCode::malformed, "the zip archive has no data.pkl: it is not a torch checkpoint");
  return *folder;
}

// Only a program's code may be compressed, in its folder; empty: nothing.
void refuse_compressed(const std::vector<ZipEntry>& entries, const std::string& code) {
  for (const ZipEntry& entry : entries)
    if (entry.compressed && (code.empty() || !entry.name.starts_with(code)))
      fail(ErrorCode::unsupported, "the zip entry ", entry.name,
           " is compressed, and the archive is no TorchScript program: torch stores without compression");
}

void check_byte_order(const InputFile& file, const ZipEntry& entry) {
  const auto bytes = read_entry(file, entry, 16);
  if (as_text(bytes) != "little")
    fail(ErrorCode::unsupported, "the checkpoint's byte order is ", printable(as_text(bytes)),
         ", not little");
}

const ZipEntry* find_entry(const EntryIndex& index, const std::string& name) {
  const auto it = index.find(name);
  return it == index.end() ? nullptr : it->second;
}

// Every storage the pickle declares must be there, used or not: a missing one means a damaged file.
void check_storages(const Pickle& pickle, const EntryIndex& index, const std::string& folder) {
  for (const auto& [key, declaration] : storage_declarations(pickle)) {
    const ZipEntry* entry = find_entry(index, folder + "data/" + key);
    if (!entry)
      fail(ErrorCode::malformed, "the zip archive has no entry ", printable(folder + "data/" + key),
           " for a storage");
    if (entry->size != declaration.bytes())
      fail(ErrorCode::malformed, "the zip entry ", entry->name, " has ", entry->size,
           " bytes, its storage is declared with ", declaration.bytes());
  }
}

// What a pickle that is none of torch's holds, as far as its first and last bytes show: NumPy's arrays, as
// Detectron2's model zoo has them.
[[noreturn]] void fail_foreign_pickle(const InputFile& file) {
  constexpr std::uint64_t most = 65536;
  std::vector<std::byte> ends(static_cast<std::size_t>(std::min(file.size(), most)));
  std::string text;
  for (const std::uint64_t from : {std::uint64_t{0}, file.size() - ends.size()}) {
    file.read(from, ends);
    text += as_text(ends);
  }
  const auto has = [&](std::string_view word) { return text.find(word) != text.npos; };
  if (has("numpy") && (has("Detectron2") || has("proposal_generator")))
    fail(ErrorCode::unsupported,
         "is a pickle of Detectron2, whose networks compute otherwise than torchvision's; "
         "atrous does not run them");
  if (has("numpy")) fail(ErrorCode::unsupported, "is a pickle of NumPy arrays, which torch did not write");
  fail(ErrorCode::malformed,
       "the file is not a torch checkpoint: it does not begin with the magic number 0x1950a86a20f9469cfc6c");
}

// What stands in a legacy file before its first pickle: the magic number, pickled as a LONG1 of ten bytes, in
// a FRAME from protocol 4 on. It does not fit in 64 bits, so it is compared as bytes.
std::uint64_t skip_magic(const InputFile& file) {
  constexpr std::string_view magic = "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
  constexpr std::size_t proto_size = 2, frame_size = 9;
  std::array<std::byte, proto_size + frame_size + magic.size()> head{};
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(file.size(), head.size()));
  file.read(0, std::span(head).first(size));
  const std::string_view bytes = as_text(std::span(head).first(size));
  if (size > proto_size && bytes.starts_with('\x80')) {
    if (bytes.substr(proto_size).starts_with(magic)) return proto_size + magic.size();
    if (size == head.size() && bytes[proto_size] == '\x95' && bytes.ends_with(magic)) return head.size();
  }
  fail_foreign_pickle(file);
}

const PickleNode* find_value(const Pickle& pickle, const PickleNode& dict, std::string_view key) {
  for (std::size_t i = 0; i + 1 < dict.items.size(); i += 2) {
    const PickleNode& k = pickle.at(dict.items[i]);
    if (k.kind == PickleKind::string && pickle.text(k) == key) return &pickle.at(dict.items[i + 1]);
  }
  return nullptr;
}

void check_protocol(const Pickle& pickle) {
  constexpr std::int64_t protocol = 1001;
  const PickleNode& root = pickle.at(pickle.root);
  if (root.kind != PickleKind::integer)
    fail(ErrorCode::malformed, "the checkpoint's protocol version is ", name_of(root.kind), ", not ",
         protocol);
  if (root.integer != protocol)
    fail(ErrorCode::unsupported, "the checkpoint's protocol version is ", root.integer, ", not ", protocol);
}

void check_system(const Pickle& pickle) {
  const PickleNode& root = pickle.at(pickle.root);
  if (root.kind != PickleKind::dict)
    fail(ErrorCode::malformed, "the checkpoint's description of its machine is ", name_of(root.kind),
         ", not a dict");
  const PickleNode* little = find_value(pickle, root, "little_endian");
  if (!little || little->kind != PickleKind::boolean || little->integer != 1)
    fail(ErrorCode::unsupported, "the checkpoint was not written on a little-endian machine");
  const PickleNode* sizes = find_value(pickle, root, "type_sizes");
  if (!sizes || sizes->kind != PickleKind::dict)
    fail(ErrorCode::malformed, "the checkpoint does not give the word sizes of its machine");
  constexpr std::array<std::pair<std::string_view, std::int64_t>, 3> expected{
      {{"short", 2}, {"int", 4}, {"long", 4}}};
  for (const auto& [type, size] : expected) {
    const PickleNode* found = find_value(pickle, *sizes, type);
    if (!found || found->kind != PickleKind::integer || found->integer != size)
      fail(ErrorCode::unsupported, "the checkpoint's word size of ", type, " is ", found ? found->integer : 0,
           ", not ", size);
  }
}

struct StoredPart {
  std::uint64_t offset = 0, bytes = 0;
};

// Walks the storages at the end of a legacy file, in the order of the list of keys.
std::unordered_map<std::string, StoredPart> locate_storages(
    const InputFile& file, const Pickle& keys, std::uint64_t offset,
    const std::unordered_map<std::string, StorageDeclaration>& declared) {
  const PickleNode& list = keys.at(keys.root);
  if (list.kind != PickleKind::list)
    fail(ErrorCode::malformed, "the checkpoint's storage keys are ", name_of(list.kind), ", not a list");
  std::unordered_map<std::string, StoredPart> parts;
  for (const PickleRef ref : list.items) {
    if (keys.at(ref).kind != PickleKind::string)
      fail(ErrorCode::malformed, "a storage key is ", name_of(keys.at(ref).kind), ", not a string");
    const std::string key(keys.text(keys.at(ref)));
    const auto declaration = declared.find(key);
    if (declaration == declared.end())
      fail(ErrorCode::malformed, "the storage ", printable(key),
           " is listed, but the pickle does not mention it");
    std::array<std::byte, 8> count_bytes;
    if (file.size() - offset < count_bytes.size())
      fail(ErrorCode::malformed, "the file ends at byte ", file.size(), ", before the storage ",
           printable(key), " listed in it");
    file.read(offset, count_bytes);
    offset += count_bytes.size();
    const auto count = load_little_endian<std::uint64_t>(count_bytes.data());
    if (count != declaration->second.elements)
      fail(ErrorCode::malformed, "the storage ", printable(key), " has ", count,
           " elements, the pickle declares ", declaration->second.elements);
    const std::uint64_t bytes = declaration->second.bytes();
    if (file.size() - offset < bytes)
      fail(ErrorCode::malformed, "the file ends within the storage ", printable(key), ": ", bytes,
           " bytes wanted, ", file.size() - offset, " are left");
    if (!parts.emplace(key, StoredPart{offset, bytes}).second)
      fail(ErrorCode::malformed, "the storage ", printable(key), " is listed twice");
    offset += bytes;
  }
  for (const auto& [key, declaration] : declared)
    if (!parts.contains(key))
      fail(ErrorCode::malformed, "the storage ", printable(key), " is not in the file's list of storages");
  if (offset != file.size())
    fail(ErrorCode::malformed, "the file has ", file.size() - offset, " bytes after its last storage");
  return parts;
}

}  // namespace

NetworkWeights read_pth_zip(const InputFile& file, std::string_view asked) {
  const std::vector<ZipEntry> entries = read_zip_directory(file);
  const std::string folder = find_folder(entries);
  EntryIndex index;
  for (const ZipEntry& entry : entries) index.emplace(entry.name, &entry);
  const bool program = find_entry(index, folder + "constants.pkl");
  refuse_compressed(entries, program ? folder + "code/" : "");
  if (const ZipEntry* byte_order = find_entry(index, folder + "byteorder"))
    check_byte_order(file, *byte_order);
  const ZipEntry& pickle_entry = *find_entry(index, folder + "data.pkl");
  const Pickle pickle = read_pickle(read_entry(file, pickle_entry, pickle_byte_limit));
  if (pickle.size != pickle_entry.size)
    fail(ErrorCode::malformed, "the zip entry ", pickle_entry.name, " has ", pickle_entry.size,
         " bytes, its pickle ends at ", pickle.size);
  if (program && std::ranges::find(pickle.nodes, PickleKind::call, &PickleNode::kind) == pickle.nodes.end())
    fail(
        ErrorCode::unsupported,
        "the file is a TorchScript archive whose weights are in its program (a frozen one): save the model's "
        "state_dict() instead");
  check_storages(pickle, index, folder);
  const ReadStorage read = [&](const std::string& key, std::uint64_t bytes) {
    Buffer buffer(checked_cast<std::size_t>(bytes, "storage bytes"));
    read_zip_entry(file, *find_entry(index, folder + "data/" + key), {buffer.data(), buffer.size()});
    return buffer;
  };
  return network_from_pickle(pickle, read, file.size(), asked);
}

NetworkWeights read_pth_legacy(const InputFile& file, std::string_view asked) {
  std::uint64_t offset = skip_magic(file);
  const auto next_pickle = [&] {
    Pickle pickle = read_pickle(file, offset);
    offset += pickle.size;
    return pickle;
  };
  check_protocol(next_pickle());
  check_system(next_pickle());
  const Pickle pickle = next_pickle();
  const Pickle keys = next_pickle();
  const auto parts = locate_storages(file, keys, offset, storage_declarations(pickle));
  const ReadStorage read = [&](const std::string& key, std::uint64_t) {
    const StoredPart& part = parts.at(key);
    Buffer buffer(checked_cast<std::size_t>(part.bytes, "storage bytes"));
    file.read(part.offset, {buffer.data(), buffer.size()});
    return buffer;
  };
  return network_from_pickle(pickle, read, file.size(), asked);
}

}  // namespace atrous
