// DC coefficients of JPEGs, within what T.81 allows and beyond. Files are coded here by hand.
#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cstdlib>

#include "runtime/image/image_read.h"
#include "tests/support/image_bytes.h"
#include "weights_tools/io/file.h"

using namespace atrous;
using namespace atrous::testing;

namespace {

std::string binary(unsigned value, std::size_t digits) {
  std::string out(digits, '0');
  for (std::size_t i = 0; i < digits; ++i)
    if (value >> i & 1) out[digits - 1 - i] = '1';
  return out;
}

// Bits as a scan holds them: padded, a zero byte behind every 255.
FileBytes entropy_coded(std::string bits) {
  bits.resize((bits.size() + 7) / 8 * 8, '0');
  FileBytes out;
  for (std::size_t at = 0; at < bits.size(); at += 8) {
    const int byte = std::stoi(bits.substr(at, 8), nullptr, 2);
    out = out + (byte == 255 ? bytes({255, 0}) : bytes({byte}));
  }
  return out;
}

// Categories 0 to 15, each by a code of 5 bits.
const FileBytes dc_table = [] {
  FileBytes table = bytes({0, 0, 0, 0, 0, 16}) + FileBytes(11);
  for (int category = 0; category < 16; ++category) table = table + bytes({category});
  return segment(0xc4, table);
}();

// T.81, F.1.2.1: the category is the number of bits of the magnitude, and of a negative difference the bits
// are those of the difference less one.
std::string difference(int value) {
  const auto category = static_cast<std::size_t>(std::bit_width(static_cast<unsigned>(std::abs(value))));
  return binary(static_cast<unsigned>(category), 5) +
         binary(static_cast<unsigned>(value < 0 ? value - 1 : value), category);
}

// Blocks of nothing but these differences; the code 0 ends each.
FileBytes blocks(std::initializer_list<int> differences) {
  std::string bits;
  for (const int d : differences) bits += difference(d) + '0';
  return entropy_coded(bits);
}

FileBytes with_step(int step) {
  return segment(0xdb, bytes({0x10}) + be16(static_cast<std::size_t>(step)) + FileBytes(126, std::byte{1}));
}

// A grey picture of so many blocks in a row.
FileBytes sequential(int step, std::size_t across, const FileBytes& coded_blocks) {
  return soi + with_step(step) + dc_table + huffman(0x10) + frame(0xc1, 8 * across, 8) + scan + coded_blocks +
         eoi;
}

FileBytes dc_scan(int bits) { return segment(0xda, bytes({1, 1, 0, 0, 0, bits})); }
FileBytes progressive(int step, const FileBytes& scans) {
  return soi + with_step(step) + dc_table + frame(0xc2, 8, 8) + scans + eoi;
}

// The grey level of each block: 128 and an eighth of the coefficient.
std::vector<int> levels(const FileBytes& file) {
  const Image image = read_image(file, "photo");
  std::vector<int> found;
  for (int x = 0; x < image.width; x += 8) {
    const int level = image.row(0)[3 * x];
    for (int y = 0; y < 8; ++y)
      for (int i = 0; i < 24; ++i) CHECK(image.row(y)[3 * x + i] == level);
    found.push_back(level);
  }
  return found;
}

using Levels = std::vector<int>;

}  // namespace

TEST_CASE("DC coefficients to the edge of what 8-bit samples have are decoded") {
  CHECK(levels(sequential(1, 1, blocks({1016}))) == Levels{255});
  CHECK(levels(sequential(1, 1, blocks({-1024}))) == Levels{0});
  CHECK(levels(sequential(1, 3, blocks({-1024, 2047, -1023}))) == Levels{0, 255, 128});
  CHECK(levels(sequential(2, 3, blocks({1023, -2047, 1024 + 80}))) == Levels{255, 0, 148});
  CHECK(levels(sequential(255, 4, blocks({4, -9, 6, 1}))) == Levels{255, 0, 160, 192});
  CHECK(levels(sequential(2048, 2, blocks({1, -2}))) == Levels{255, 0});
  // A restart interval begins anew, and what counts is the sum.
  const FileBytes restarted = soi + segment(0xdd, be16(1)) + with_step(1) + dc_table + huffman(0x10) +
                              frame(0xc0, 24, 8) + scan + blocks({1000}) + bytes({0xff, 0xd0}) +
                              blocks({1000}) + bytes({0xff, 0xd1}) + blocks({-1000}) + eoi;
  CHECK(levels(restarted) == Levels{253, 253, 3});
  // Progressive: the first scan leaves bits to others.
  CHECK(levels(progressive(1, dc_scan(0x01) + entropy_coded(difference(500)) + dc_scan(0x10) +
                                  entropy_coded("1"))) == Levels{253});
  CHECK(levels(progressive(2, dc_scan(0x02) + entropy_coded(difference(-256)) + dc_scan(0x21) +
                                  entropy_coded("0") + dc_scan(0x10) + entropy_coded("0"))) == Levels{0});
}

TEST_CASE("DC coefficients that no 8-bit samples have are refused, not decoded as noise") {
  const FileBytes colour_scan = segment(0xda, bytes({3, 1, 0, 2, 0, 3, 0, 0, 63, 0}));
  const FileBytes progressive_colour_scan = segment(0xda, bytes({3, 1, 0, 2, 0, 3, 0, 0, 0, 0}));
  std::string sixty;
  for (int i = 0; i < 60; ++i) sixty += difference(2047) + '0';
  const struct {
    const char* what;
    FileBytes file;
    const char* sentence;
  } table[] = {
      {"one over", sequential(1, 1, blocks({1024})), "DC coefficient of 1024 in component 1"},
      {"one under", sequential(1, 1, blocks({-1025})), "DC coefficient of -1025"},
      {"small differences that add up", sequential(1, 3, blocks({1000, 20, 4})), "DC coefficient of 1024"},
      {"the same, downwards", sequential(1, 3, blocks({-1000, -20, -5})), "DC coefficient of -1025"},
      {"12 bits", sequential(1, 2, blocks({-1024, 2048})), "DC coefficient of 1024"},
      {"15 bits", sequential(1, 1, blocks({32767})), "DC coefficient of 32767"},
      {"16 bits that wrap to 100", sequential(1, 3, blocks({32767, 32767, 102})), "DC coefficient of 32767"},
      {"many of 2047", sequential(1, 60, entropy_coded(sixty)), "DC coefficient of 2047"},
      {"times its step", sequential(3, 1, blocks({683})), "DC coefficient of 683 times 3"},
      {"times its step, negative", sequential(255, 1, blocks({-9})), "DC coefficient of -9 times 255"},
      {"a product that wraps to 0", sequential(64, 1, blocks({1023})), "DC coefficient of 1023 times 64"},
      {"a step of 65535", sequential(65535, 1, blocks({1})), "DC coefficient of 1 times 65535"},
      {"the third component",
       soi + with_step(1) + dc_table + huffman(0x10) + frame3(0xc0, 8, 8) + colour_scan +
           blocks({10, -10, 1030}) + eoi,
       "DC coefficient of 1030 in component 3"},
      {"progressive", progressive(1, dc_scan(0) + entropy_coded(difference(1024))), "coefficient of 1024"},
      {"progressive, the second component",
       soi + with_step(1) + dc_table + frame3(0xc2, 8, 8) + progressive_colour_scan +
           entropy_coded(difference(1) + difference(-1025) + difference(1)) + eoi,
       "DC coefficient of -1025 in component 2"},
      {"progressive, less its last bit", progressive(1, dc_scan(0x01) + entropy_coded(difference(512))),
       "DC coefficient of 1024"},
      {"progressive, a product that wraps to 0", progressive(1, dc_scan(0x0d) + entropy_coded(difference(8))),
       "DC coefficient of 65536"},
      {"progressive, a bit that a later scan adds",
       progressive(1, dc_scan(0x0d) + entropy_coded(difference(0)) + dc_scan(0xdc) + entropy_coded("1")),
       "DC coefficient of 4096"},
      {"progressive, times its step", progressive(20, dc_scan(0) + entropy_coded(difference(-103))),
       "DC coefficient of -103 times 20"},
  };
  for (const auto& row : table) {
    CAPTURE(row.what);
    const std::string said = sentence([&] { read_image(row.file, "photo"); });
    CAPTURE(said);
    CHECK(said.starts_with("photo: JPEG with a "));
    CHECK(contains(said, row.sentence));
  }
}
