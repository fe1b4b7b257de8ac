#include "weights_tools/torch/zip.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <unordered_set>

#include "layers/base/checked.h"
#include "weights_tools/io/bytes.h"
#include "weights_tools/io/clean_text.h"
#include "weights_tools/io/deflate.h"

namespace atrous {

namespace {

constexpr std::uint32_t local_signature = 0x04034b50, central_signature = 0x02014b50,
                        end_signature = 0x06054b50, end64_signature = 0x06064b50,
                        locator_signature = 0x07064b50;
constexpr std::size_t local_size = 30, central_size = 46, end_size = 22, end64_size = 56, locator_size = 20;
constexpr std::uint16_t flag_encrypted = 1 << 0, flag_descriptor = 1 << 3, flag_strong_encryption = 1 << 6,
                        flag_masked = 1 << 13;
constexpr std::uint16_t deflated = 8;
constexpr std::uint32_t in_zip64 = 0xffffffff;  // "the value is in the ZIP64 record"

struct Directory {
  std::uint64_t offset = 0, size = 0, entries = 0;
};

// One header of the central directory; `local` is where its local header begins.
struct CentralEntry {
  ZipEntry entry;
  std::uint16_t flags = 0, method = 0;
  std::uint64_t compressed = 0, local = 0;
};

std::uint16_t u16(std::span<const std::byte> b, std::size_t at) {
  return load_little_endian<std::uint16_t>(&b[at]);
}
std::uint32_t u32(std::span<const std::byte> b, std::size_t at) {
  return load_little_endian<std::uint32_t>(&b[at]);
}
std::uint64_t u64(std::span<const std::byte> b, std::size_t at) {
  return load_little_endian<std::uint64_t>(&b[at]);
}

// The end record is the one place from which its own comment reaches exactly to the end of the file.
std::uint64_t find_end_record(const InputFile& file, std::span<std::byte> record) {
  constexpr std::uint64_t longest_comment = 0xffff;
  if (file.size() < end_size)
    fail(ErrorCode::malformed, "a zip archive has at least ", end_size, " bytes, this file has ",
         file.size());
  std::vector<std::byte> tail(static_cast<std::size_t>(std::min(file.size(), longest_comment + end_size)));
  const std::uint64_t tail_offset = file.size() - tail.size();
  file.read(tail_offset, tail);
  std::optional<std::size_t> found;
  for (std::size_t i = 0; i + end_size <= tail.size(); ++i) {
    if (u32(tail, i) != end_signature || i + end_size + u16(tail, i + 20) != tail.size()) continue;
    if (found)
      fail(ErrorCode::malformed, "the zip archive has two end records, at ", tail_offset + *found, " and ",
           tail_offset + i);
    found = i;
  }
  if (!found) fail(ErrorCode::malformed, "the zip archive has no end record: the file may be cut short");
  std::ranges::copy(std::span(tail).subspan(*found, end_size), record.begin());
  return tail_offset + *found;
}

void refuse_split(std::uint64_t disk, std::uint64_t disk_of_directory) {
  if (disk != 0 || disk_of_directory != 0)
    fail(ErrorCode::unsupported, "the zip archive is split over several files (part ", disk,
         ", directory in part ", disk_of_directory, ")");
}

// The ZIP64 end record, and where it begins, if a locator stands before the end record.
std::optional<std::pair<Directory, std::uint64_t>> read_end64(const InputFile& file,
                                                              std::uint64_t end_offset) {
  if (end_offset < locator_size) return std::nullopt;
  std::array<std::byte, locator_size> locator;
  const std::uint64_t locator_offset = end_offset - locator_size;
  file.read(locator_offset, locator);
  if (u32(locator, 0) != locator_signature) return std::nullopt;
  refuse_split(u32(locator, 4), 0);
  const std::uint64_t offset = u64(locator, 8);
  if (locator_offset < end64_size || offset > locator_offset - end64_size)
    fail(ErrorCode::malformed, "the ZIP64 end record at ", offset, " does not lie before its locator at ",
         locator_offset);
  std::array<std::byte, end64_size> record;
  file.read(offset, record);
  if (u32(record, 0) != end64_signature)
    fail(ErrorCode::malformed, "there is no ZIP64 end record at ", offset, ", where its locator points");
  const std::uint64_t reach = checked_add<std::uint64_t>(u64(record, 4), offset + 12, "ZIP64 end record");
  if (reach != locator_offset)
    fail(ErrorCode::malformed, "the ZIP64 end record ends at ", reach, ", its locator begins at ",
         locator_offset);
  refuse_split(u32(record, 16), u32(record, 20));
  if (u64(record, 24) != u64(record, 32))
    fail(ErrorCode::malformed, "the ZIP64 end record counts ", u64(record, 24), " and ", u64(record, 32),
         " entries");
  return std::pair{Directory{u64(record, 48), u64(record, 40), u64(record, 32)}, offset};
}

void check_against_end64(std::string_view what, std::uint64_t value, std::uint64_t maximum,
                         std::uint64_t value64) {
  if (value != maximum && value != value64)
    fail(ErrorCode::malformed, "the end records disagree on ", what, ": ", value, " and ", value64);
}

Directory find_directory(const InputFile& file) {
  std::array<std::byte, end_size> end;
  std::uint64_t directory_limit = find_end_record(file, end);
  const std::uint16_t entries = u16(end, 10);
  Directory directory{u32(end, 16), u32(end, 12), entries};
  if (const auto end64 = read_end64(file, directory_limit)) {
    check_against_end64("the number of entries", entries, 0xffff, end64->first.entries);
    check_against_end64("the directory's size", u32(end, 12), in_zip64, end64->first.size);
    check_against_end64("the directory's offset", u32(end, 16), in_zip64, end64->first.offset);
    std::tie(directory, directory_limit) = *end64;
  } else {
    refuse_split(u16(end, 4), u16(end, 6));
    if (u16(end, 8) != entries)
      fail(ErrorCode::malformed, "the end record counts ", u16(end, 8), " and ", entries, " entries");
  }
  const auto reach = checked_add(directory.offset, directory.size, "central directory");
  if (reach != directory_limit)
    fail(ErrorCode::malformed, "the central directory ends at ", reach, ", but the end record begins at ",
         directory_limit);
  if (directory.entries > directory.size / central_size)
    fail(ErrorCode::malformed, "a central directory of ", directory.size, " bytes cannot hold ",
         directory.entries, " entries");
  return directory;
}

// The data of the extra field with the given id, or an empty span. The rest of the field is torch's padding.
std::span<const std::byte> find_extra(std::span<const std::byte> extra, std::uint16_t id,
                                      std::string_view name) {
  while (extra.size() >= 4) {
    const std::size_t size = u16(extra, 2);
    if (size > extra.size() - 4)
      fail(ErrorCode::malformed, "the zip entry ", name, ": an extra field of ", size, " bytes where ",
           extra.size() - 4, " are left");
    if (u16(extra, 0) == id) return extra.subspan(4, size);
    extra = extra.subspan(4 + size);
  }
  return {};
}

// APPNOTE 4.5.3: the ZIP64 field holds, in a fixed order, only those values that did not fit elsewhere.
void replace_from_zip64(std::uint64_t& value, std::span<const std::byte>& field, std::string_view name) {
  if (value != in_zip64) return;
  if (field.size() < 8)
    fail(ErrorCode::malformed, "the zip entry ", name, ": its ZIP64 field is missing or too short");
  value = u64(field, 0);
  field = field.subspan(8);
}

void check_name(std::string_view name) {
  if (name.empty()) fail(ErrorCode::malformed, "the zip archive has an entry without a name");
  const std::string shown = printable(name);
  if (!is_clean_text(name))
    fail(ErrorCode::malformed, "the zip entry ", shown, ": a name with control characters");
  if (name.find('\\') != name.npos || name.front() == '/' || (name.size() > 1 && name[1] == ':'))
    fail(ErrorCode::malformed, "the zip entry ", shown, ": an absolute name or one with backslashes");
  for (std::size_t begin = 0; begin <= name.size();) {
    const std::size_t end = std::min(name.find('/', begin), name.size());
    if (name.substr(begin, end - begin) == "..")
      fail(ErrorCode::malformed, "the zip entry ", shown, ": a name with `..`");
    begin = end + 1;
  }
}

// "code/..." or "FOLDER/code/...", where torch.jit.save puts what it compresses.
bool is_code(std::string_view name) {
  constexpr std::string_view folder = "code/";
  return name.starts_with(folder) || name.substr(name.find('/') + 1).starts_with(folder);
}

[[noreturn]] void fail_compressed(const std::string& name, int method) {
  fail(ErrorCode::unsupported, "the zip entry ", name, " is compressed (method ", method,
       "): torch stores without compression");
}

void check_storable(const CentralEntry& e) {
  if (e.flags & (flag_encrypted | flag_strong_encryption | flag_masked))
    fail(ErrorCode::unsupported, "the zip entry ", e.entry.name, " is encrypted");
  if (e.method == deflated && is_code(e.entry.name)) return;
  if (e.method != 0) fail_compressed(e.entry.name, e.method);
  if (e.compressed != e.entry.size)
    fail(ErrorCode::malformed, "the zip entry ", e.entry.name, " is stored, but its sizes are ", e.compressed,
         " and ", e.entry.size);
}

// Takes one header off the front of the central directory.
CentralEntry take_central(std::span<const std::byte>& rest) {
  if (rest.size() < central_size || u32(rest, 0) != central_signature)
    fail(ErrorCode::malformed, "the zip archive's central directory is cut short or damaged");
  const std::size_t name_size = u16(rest, 28), extra_size = u16(rest, 30), comment_size = u16(rest, 32);
  if (rest.size() - central_size < name_size + extra_size + comment_size)
    fail(ErrorCode::malformed, "the zip archive's central directory ends within an entry");
  const std::string_view name = as_text(rest.subspan(central_size, name_size));
  check_name(name);
  CentralEntry e{.entry = {std::string(name), 0, u32(rest, 24), u32(rest, 16)},
                 .flags = u16(rest, 8),
                 .method = u16(rest, 10),
                 .compressed = u32(rest, 20),
                 .local = u32(rest, 42)};
  auto zip64 = find_extra(rest.subspan(central_size + name_size, extra_size), 0x0001, name);
  replace_from_zip64(e.entry.size, zip64, name);
  replace_from_zip64(e.compressed, zip64, name);
  replace_from_zip64(e.local, zip64, name);
  refuse_split(u16(rest, 34) == 0xffff ? 0 : u16(rest, 34), 0);
  check_storable(e);
  e.entry.compressed = e.method != 0;
  rest = rest.subspan(central_size + name_size + extra_size + comment_size);
  return e;
}

void check_same(const std::string& name, std::string_view what, std::uint64_t local, std::uint64_t central) {
  if (local != central)
    fail(ErrorCode::malformed, "the zip entry ", name, ": the local header says ", what, " ", local,
         ", the central directory ", central);
}

void check_local_sizes(const CentralEntry& e, std::span<const std::byte> header,
                       std::span<const std::byte> extra) {
  std::uint64_t size = u32(header, 22), compressed = u32(header, 18);
  auto zip64 = find_extra(extra, 0x0001, e.entry.name);
  replace_from_zip64(size, zip64, e.entry.name);
  replace_from_zip64(compressed, zip64, e.entry.name);
  check_same(e.entry.name, "CRC", u32(header, 14), e.entry.crc);
  check_same(e.entry.name, "size", size, e.entry.size);
  check_same(e.entry.name, "compressed size", compressed, e.compressed);
}

// Compares the local header with the central one and finds where the data begins.
void locate_data(const InputFile& file, CentralEntry& e, std::uint64_t limit) {
  const std::string& name = e.entry.name;
  if (e.local > limit || limit - e.local < local_size)
    fail(ErrorCode::malformed, "the zip entry ", name, " begins at ", e.local,
         ", beyond the entries' end at ", limit);
  std::array<std::byte, local_size> header;
  file.read(e.local, header);
  if (u32(header, 0) != local_signature)
    fail(ErrorCode::malformed, "the zip entry ", name, " has no local header at ", e.local);
  const std::size_t name_size = u16(header, 26), extra_size = u16(header, 28);
  const std::uint64_t room = limit - e.local - local_size;
  if (room < name_size + extra_size || room - name_size - extra_size < e.compressed)
    fail(ErrorCode::malformed, "the zip entry ", name, " of ", e.compressed, " bytes at ", e.local,
         " runs beyond the entries' end at ", limit);
  std::vector<std::byte> variable(name_size + extra_size);
  file.read(e.local + local_size, variable);
  const auto local_name = as_text(std::span(variable).first(name_size));
  if (local_name != name)
    fail(ErrorCode::malformed, "the zip entry ", name, " is named ", printable(local_name),
         " in its local header");
  check_same(name, "method", u16(header, 8), e.method);
  check_same(name, "flags", u16(header, 6), e.flags);
  if (!(e.flags & flag_descriptor)) check_local_sizes(e, header, std::span(variable).subspan(name_size));
  e.entry.offset = e.local + local_size + name_size + extra_size;
}

// From the front of the file to its back, so that an archive whose entries overlap is refused before they are
// read more than once.
void locate_all(const InputFile& file, std::vector<CentralEntry>& entries, std::uint64_t limit) {
  std::vector<CentralEntry*> by_offset;
  for (auto& e : entries) by_offset.push_back(&e);
  std::ranges::sort(by_offset, {}, &CentralEntry::local);
  const CentralEntry* before = nullptr;
  for (CentralEntry* e : by_offset) {
    if (before && before->entry.offset + before->compressed > e->local)
      fail(ErrorCode::malformed, "the zip entries ", before->entry.name, " and ", e->entry.name,
           " overlap: one ends at ", before->entry.offset + before->compressed, ", the other begins at ",
           e->local);
    locate_data(file, *e, limit);
    before = e;
  }
}

}  // namespace

std::vector<ZipEntry> read_zip_directory(const InputFile& file) {
  const Directory directory = find_directory(file);
  std::vector<std::byte> bytes(checked_cast<std::size_t>(directory.size, "central directory"));
  file.read(directory.offset, bytes);
  std::vector<CentralEntry> central;
  std::unordered_set<std::string> names;
  std::span<const std::byte> rest = bytes;
  for (std::uint64_t i = 0; i < directory.entries; ++i) {
    central.push_back(take_central(rest));
    if (!names.insert(central.back().entry.name).second)
      fail(ErrorCode::malformed, "the zip archive has two entries named ", central.back().entry.name);
  }
  if (!rest.empty())
    fail(ErrorCode::malformed, "the central directory has ", rest.size(), " bytes after its ",
         directory.entries, " entries");
  locate_all(file, central, directory.offset);
  std::vector<ZipEntry> entries;
  for (auto& e : central) entries.push_back(std::move(e.entry));
  return entries;
}

void read_zip_entry(const InputFile& file, const ZipEntry& entry, std::span<std::byte> out) {
  if (out.size() != entry.size)
    fail(ErrorCode::invalid_argument, "the zip entry ", entry.name, " has ", entry.size,
         " bytes, room is for ", out.size());
  if (entry.compressed) fail_compressed(entry.name, deflated);
  file.read(entry.offset, out);
  const std::uint32_t crc = crc32(out);
  if (crc != entry.crc)
    fail(ErrorCode::malformed, "the zip entry ", entry.name, " is damaged: its CRC-32 is ", crc,
         ", the archive says ", entry.crc);
}

}  // namespace atrous
