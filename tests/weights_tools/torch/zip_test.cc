#include "weights_tools/torch/zip.h"
#include "tests/support/weights_helpers.h"

namespace atrous::zip_test {

using namespace atrous::weights_testing;

namespace {

std::vector<std::pair<std::string, Bytes>> read_all(const std::string& path) {
  const InputFile file(path);
  std::vector<std::pair<std::string, Bytes>> out;
  for (const ZipEntry& entry : read_zip_directory(file)) {
    std::vector<std::byte> data(static_cast<std::size_t>(entry.size));
    read_zip_entry(file, entry, data);
    out.emplace_back(entry.name, as_text(data));
  }
  return out;
}

const std::vector<ZipPart> two{{"x/a", "hello"}, {"x/b", ""}};
const std::vector<std::pair<std::string, Bytes>> two_contents{{"x/a", "hello"}, {"x/b", ""}};

// A ZIP64 extra field that holds the given values.
Bytes zip64_extra(const std::vector<std::uint64_t>& values) {
  Bytes out = le16(1) + le16(values.size() * 8);
  for (const auto v : values) out += le64(v);
  return out;
}

}  // namespace

TEST_CASE("stored entries come back in the order of the central directory") {
  const TempFolder folder;
  CHECK(read_all(folder.save("plain", zip(two))) == two_contents);
  CHECK(read_all(folder.save("zip64", zip(two, {.zip64 = true}))) == two_contents);
  const ZipEnd only64{
      .entries = 0xffff, .directory_size = 0xffffffff, .directory_offset = 0xffffffff, .zip64 = true};
  CHECK(read_all(folder.save("only64", zip(two, only64))) == two_contents);
  CHECK(read_all(folder.save("comment", zip(two, {.comment = "a note"}))) == two_contents);
  CHECK(read_all(folder.save("empty", zip({}))).empty());
}

TEST_CASE("sizes come from the central directory when bit 3 is set, and from both headers when not") {
  const TempFolder folder;
  CHECK(read_all(folder.save("bit3", zip({{"a", "hello"}}))).at(0).second == "hello");
  CHECK(read_all(folder.save("no bit3", zip({{.name = "a", .data = "hello", .flags = 0}}))).at(0).second ==
        "hello");
}

TEST_CASE("sizes and offsets beyond 32 bits come from the ZIP64 field") {
  const TempFolder folder;
  const ZipPart part{.name = "a",
                     .data = "hello",
                     .size = 0xffffffff,
                     .compressed = 0xffffffff,
                     .offset = 0xffffffff,
                     .extra = zip64_extra({5, 5, 0})};
  CHECK(read_all(folder.save("a", zip({part}))).at(0).second == "hello");
}

TEST_CASE("a bad zip archive is refused with a sentence") {
  using Code = ErrorCode;
  const Bytes good = zip(two);
  const Bytes cut_name = [] {
    Bytes b = zip({{"abc", ""}});
    b[b.find("PK\1\2") + 28] = 100;
    return b;
  }();
  const Bytes split = [] {
    Bytes b = zip(two);
    b[b.size() - 18] = 1;
    return b;
  }();
  const BadFile rows[] = {
      {"too short", "PK\3\4", Code::malformed, "at least 22 bytes"},
      {"no end record", good.substr(0, good.size() - 22) + Bytes(30, 'x'), Code::malformed, "no end record"},
      {"cut short", good.substr(0, good.size() - 1), Code::malformed, "no end record"},
      {"end record after an end record", good + good.substr(good.size() - 22), Code::malformed,
       "the central directory ends at"},
      {"end record in the comment", zip(two, {.comment = good.substr(good.size() - 22)}), Code::malformed,
       "two end records"},
      {"bytes before the directory's end", zip(two, {.directory_size = 3}), Code::malformed,
       "the central directory ends at"},
      {"directory beyond the file", zip(two, {.directory_offset = 1u << 30}), Code::malformed,
       "the central directory ends at"},
      {"too many entries", zip(two, {.entries = 1000}), Code::malformed, "cannot hold 1000 entries"},
      {"too few entries", zip(two, {.entries = 1}), Code::malformed, "bytes after its 1 entries"},
      {"split archive", split, Code::unsupported, "split over several files"},
      {"entry name beyond the directory", cut_name, Code::malformed, "ends within an entry"},
      {"entry beyond the file", zip({{.name = "a", .data = "x", .offset = 1u << 30}}), Code::malformed,
       "beyond the entries' end"},
      {"entry over the directory", zip({{.name = "a", .data = "x", .size = 900, .compressed = 900}}),
       Code::malformed, "runs beyond the entries' end"},
      {"no local header", zip({{.name = "a", .data = "xyz", .offset = 1}}), Code::malformed,
       "no local header"},
      {"deflated", zip({{.name = "a", .data = "x", .method = 8}}), Code::unsupported,
       "compressed (method 8)"},
      {"encrypted", zip({{.name = "a", .data = "x", .flags = 0x0809}}), Code::unsupported, "is encrypted"},
      {"two sizes for a stored entry", zip({{.name = "a", .data = "xy", .compressed = 1}}), Code::malformed,
       "its sizes are 1 and 2"},
      {"duplicate name", zip({{"a", "x"}, {"a", "y"}}), Code::malformed, "two entries named a"},
      {"empty name", zip({{"", "x"}}), Code::malformed, "without a name"},
      {"absolute name", zip({{"/a", "x"}}), Code::malformed, "absolute name"},
      {"drive letter", zip({{"c:a", "x"}}), Code::malformed, "absolute name"},
      {"backslash", zip({{"a\\b", "x"}}), Code::malformed, "backslashes"},
      {"leading ..", zip({{"../a", "x"}}), Code::malformed, "`..`"},
      {"inner ..", zip({{"a/../b", "x"}}), Code::malformed, "`..`"},
      {"trailing ..", zip({{"a/..", "x"}}), Code::malformed, "`..`"},
      {"control character", zip({{"a\x1b[2J", "x"}}), Code::malformed,
       "a\\x1b[2J: a name with control characters"},
      {"local name differs", zip({{.name = "a", .data = "x", .local_name = "b"}}), Code::malformed,
       "is named b in its local header"},
      {"local method differs", zip({{.name = "a", .data = "x", .local_method = 8}}), Code::malformed,
       "the local header says method 8, the central directory 0"},
      {"local size differs", zip({{.name = "a", .data = "x", .flags = 0, .local_size = 7}}), Code::malformed,
       "the local header says size 7, the central directory 1"},
      {"local compressed size differs", zip({{.name = "a", .data = "x", .flags = 0, .local_compressed = 7}}),
       Code::malformed, "the local header says compressed size 7, the central directory 1"},
      {"local CRC differs", zip({{.name = "a", .data = "x", .flags = 0, .local_crc = 7}}), Code::malformed,
       "the local header says CRC 7, the central directory 2363233923"},
      {"local flags differ", zip({{.name = "a", .data = "x", .local_flags = 0}}), Code::malformed,
       "the local header says flags 0, the central directory 2056"},
      {"local ZIP64 field missing", zip({{.name = "a", .data = "x", .flags = 0, .local_size = 0xffffffff}}),
       Code::malformed, "ZIP64 field is missing"},
      {"local ZIP64 size differs",
       zip({{.name = "a",
             .data = "x",
             .flags = 0,
             .local_size = 0xffffffff,
             .local_compressed = 0xffffffff,
             .local_extra = zip64_extra({7, 1})}}),
       Code::malformed, "the local header says size 7, the central directory 1"},
      {"local name beyond the file",
       zip({{.name = "a", .data = "x", .local_name = Bytes(65535, 'a'), .offset = 60'000}}), Code::malformed,
       "no local header at 60000"},
      {"CRC differs", zip({{.name = "a", .data = "x", .crc_error = 1}}), Code::malformed,
       "is damaged: its CRC-32 is"},
      {"overlap",
       zip({{.name = "a", .data = zip({{"b", "x"}}), .flags = 0}, {.name = "b", .data = "x", .offset = 31}}),
       Code::malformed, "the zip entries a and b overlap"},
      {"two entries of the same bytes",
       zip({{.name = "a", .data = "x"}, {.name = "b", .data = "x", .offset = 0}}), Code::malformed,
       "the zip entries a and b overlap: one ends at 32, the other begins at 0"},
      {"an entry within the header of another",
       zip({{.name = Bytes(60, 'a'), .data = "x"}, {.name = "b", .data = "", .offset = 40}}), Code::malformed,
       "overlap: one ends at 91, the other begins at 40"},
      {"an entry over the next one",
       zip({{.name = "a", .data = "x", .size = 40, .compressed = 40}, {"b", Bytes(100, 'x')}}),
       Code::malformed, "the zip entries a and b overlap"},
      {"strongly encrypted", zip({{.name = "a", .data = "x", .flags = 0x0840}}), Code::unsupported,
       "is encrypted"},
      {"masked", zip({{.name = "a", .data = "x", .flags = 0x2800}}), Code::unsupported, "is encrypted"},
      {"bzip2", zip({{.name = "a", .data = "x", .method = 12}}), Code::unsupported, "compressed (method 12)"},
      {"only ..", zip({{"..", "x"}}), Code::malformed, "`..`"},
      {"name of invalid UTF-8", zip({{"a\xff", "x"}}), Code::malformed, "a\\xff: a name with control"},
      {"name with a NUL", zip({{Bytes("a\0b", 3), "x"}}), Code::malformed, "a\\x00b: a name with control"},
      {"an archive after an archive", good + good, Code::malformed, "the central directory ends at"},
      {"end record cut", good.substr(0, good.size() - 4) + Bytes(4, '\xff'), Code::malformed,
       "no end record"},
      {"directory over the entries", zip(two, {.directory_size = 0, .directory_offset = 0}), Code::malformed,
       "the central directory ends at 0"},
      {"ZIP64 field missing", zip({{.name = "a", .data = "x", .size = 0xffffffff}}), Code::malformed,
       "ZIP64 field is missing"},
      {"ZIP64 size overflows",
       zip({{.name = "a",
             .data = "x",
             .size = 0xffffffff,
             .compressed = 0xffffffff,
             .extra = zip64_extra({~0ull, ~0ull})}}),
       Code::malformed, "runs beyond the entries' end"},
      {"ZIP64 offset overflows",
       zip({{.name = "a", .data = "x", .offset = 0xffffffff, .extra = zip64_extra({~0ull})}}),
       Code::malformed, "beyond the entries' end"},
      {"extra field too long", zip({{.name = "a", .data = "x", .extra = le16(7) + le16(100)}}),
       Code::malformed, "an extra field of 100 bytes"},
      {"ZIP64 locator points away", zip(two, {.zip64 = true, .locator = 1u << 30}), Code::malformed,
       "does not lie before its locator"},
      {"ZIP64 locator points elsewhere", zip(two, {.zip64 = true, .locator = 0}), Code::malformed,
       "no ZIP64 end record at 0"},
      {"ZIP64 directory offset overflows",
       zip(two, {.directory_offset = 0xffffffff, .zip64 = true, .directory_offset64 = ~0ull}), Code::limit,
       "overflows"},
      {"ZIP64 directory size overflows",
       zip(two, {.directory_size = 0xffffffff, .zip64 = true, .directory_size64 = ~0ull}), Code::limit,
       "overflows"},
      {"ZIP64 directory beyond the file",
       zip(two, {.directory_size = 0xffffffff, .zip64 = true, .directory_size64 = 1ull << 40}),
       Code::malformed, "the central directory ends at 1099511627"},
      {"ZIP64 entries overflow", zip(two, {.entries = 0xffff, .zip64 = true, .entries64 = ~0ull}),
       Code::malformed, "cannot hold 18446744073709551615 entries"},
      {"ZIP64 record size overflows", zip(two, {.zip64 = true, .record_size = ~0ull}), Code::limit,
       "overflows"},
      {"ZIP64 record of another size", zip(two, {.zip64 = true, .record_size = 45}), Code::malformed,
       "its locator begins at"},
      {"ZIP64 locator overflows", zip(two, {.zip64 = true, .locator = ~0ull}), Code::malformed,
       "does not lie before its locator"},
      {"ZIP64 compressed size overflows",
       zip({{.name = "a", .data = "x", .compressed = 0xffffffff, .extra = zip64_extra({~0ull})}}),
       Code::malformed, "its sizes are 18446744073709551615 and 1"},
      {"ZIP64 field cut short",
       zip({{.name = "a",
             .data = "x",
             .size = 0xffffffff,
             .compressed = 0xffffffff,
             .extra = zip64_extra({1})}}),
       Code::malformed, "ZIP64 field is missing or too short"},
      {"end records disagree on the size", zip(two, {.directory_size = 1, .zip64 = true}), Code::malformed,
       "disagree on the directory's size: 1 and"},
      {"end records disagree on the offset", zip(two, {.directory_offset = 1, .zip64 = true}),
       Code::malformed, "disagree on the directory's offset: 1 and"},
      {"end records disagree", zip(two, {.entries = 1, .zip64 = true}), Code::malformed,
       "disagree on the number of entries: 1 and 2"},
  };
  const TempFolder folder;
  for (const auto& row : rows) {
    CAPTURE(std::string(row.defect));
    const std::string path = folder.save("bad", row.bytes);
    check_refused([&] { read_all(path); }, row.code, row.part);
  }
}

}  // namespace atrous::zip_test
