// Coefficients of JPEGs, within what T.81 allows and beyond. Files are coded here by hand.
#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <numbers>

#include "runtime/image/image_read.h"
#include "tests/support/image_bytes.h"
#include "weights_tools/io/file.h"

namespace atrous::jpeg_coefficients_test {

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

// The steps of DC and of AC.
FileBytes with_step(int dc, int ac = 0x101) {
  FileBytes steps = be16(static_cast<std::size_t>(dc));
  for (int k = 1; k < 64; ++k) steps = steps + be16(static_cast<std::size_t>(ac));
  return segment(0xdb, bytes({0x10}) + steps);
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

// Values of AC tables are a run of zeros and the category of the coefficient behind it, four bits each.
FileBytes ac_table(std::initializer_list<int> values) {
  FileBytes table = bytes({0x10, 0, 0, 0, 0, static_cast<int>(values.size())}) + FileBytes(11);
  for (const int value : values) table = table + bytes({value});
  return segment(0xc4, table);
}

std::string magnitude(int value) { return difference(value).substr(5); }

// No DC, and the coefficient behind it in the zigzag order, which is the first of the row: the value 0 of the
// table is its category, 1 the end of the block.
FileBytes with_ac(int step, int ac) {
  const auto category = static_cast<int>(std::bit_width(static_cast<unsigned>(std::abs(ac))));
  return soi + with_step(1, step) + dc_table + ac_table({category, 0}) + frame(0xc1, 8, 8) + scan +
         entropy_coded(difference(0) + "00000" + magnitude(ac) + "00001") + eoi;
}

// Progressive: DC, then `scans` of AC 1.
FileBytes progressive_ac(int step, const FileBytes& scans) {
  return soi + with_step(1, step) + dc_table + frame(0xc2, 8, 8) + dc_scan(0) + entropy_coded(difference(0)) +
         scans + eoi;
}
FileBytes ac_scan(int bits, int category, const std::string& coded) {
  return ac_table({category, 0}) + segment(0xda, bytes({1, 1, 0, 1, 1, bits})) + entropy_coded(coded);
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

TEST_CASE("AC coefficients to the edge of what T.81 codes are decoded") {
  // A.3.3: the row is 128 + AC / (4 sqrt 2) cos((2x + 1) pi / 16), within 0 to 255. Blocks are the same in
  // every scan that leads to them.
  const auto row_of = [](int ac) {
    std::vector<int> row;
    for (int x = 0; x < 8; ++x) {
      const double level = 128 + ac / (4 * std::sqrt(2.0)) * std::cos((2 * x + 1) * std::numbers::pi / 16);
      row.push_back(static_cast<int>(std::lround(std::clamp(level, 0.0, 255.0))));
    }
    return row;
  };
  const auto check_row = [&](const FileBytes& file, int ac) {
    CAPTURE(ac);
    const Image image = read_image(file, "photo");
    const std::vector<int> expected = row_of(ac);
    for (int y = 0; y < 8; ++y)
      for (int x = 0; x < 8; ++x)
        CHECK(std::abs(image.row(y)[3 * x] - expected[static_cast<std::size_t>(x)]) <= 1);
  };
  for (const int ac : {1, -1, 7, 100, -500, 928, -928, 1023, -1023}) check_row(with_ac(1, ac), ac);
  check_row(with_ac(2, 400), 800);
  check_row(with_ac(64, -12), -768);
  check_row(with_ac(2000, 1), 2000);
  check_row(progressive_ac(1, ac_scan(0, 10, "00000" + magnitude(-1023))), -1023);
  check_row(progressive_ac(1, ac_scan(0x02, 8, "00000" + magnitude(200)) +
                                  ac_scan(0x21, 1,
                                          "00001"
                                          "1") +
                                  ac_scan(0x10, 1,
                                          "00001"
                                          "0")),
            802);
  // What a table has and no block uses is no fault.
  check_row(soi + with_step(1, 1) + dc_table + ac_table({7, 0, 11, 15}) + frame(0xc0, 8, 8) + scan +
                entropy_coded(difference(0) + "00000" + magnitude(100) + "00001") + eoi,
            100);
}

TEST_CASE("AC coefficients that no 8-bit samples have are refused, not decoded as noise") {
  const struct {
    const char* what;
    FileBytes file;
    const char* sentence;
  } table[] = {
      {"11 bits", with_ac(1, 1024), "AC coefficient of 1024 in component 1, samples of 8 bits have -1023 to"},
      {"11 bits, negative", with_ac(1, -1024), "AC coefficient of -1024 in component 1"},
      {"15 bits", with_ac(1, 32767), "AC coefficient of 32767"},
      {"times its step", with_ac(3, 683), "AC coefficient of 683 times 3 in component 1"},
      {"a product that wraps to -64", with_ac(64, 1023), "AC coefficient of 1023 times 64"},
      {"a short code, times a step of 65535", with_ac(65535, -1), "AC coefficient of -1 times 65535"},
      {"progressive", progressive_ac(1, ac_scan(0, 11, "00000" + magnitude(1024))), "AC coefficient of 1024"},
      {"progressive, less its last bit", progressive_ac(1, ac_scan(0x01, 10, "00000" + magnitude(512))),
       "AC coefficient of 1024"},
      {"progressive, a shift that wraps to 0", progressive_ac(1, ac_scan(0x0d, 4, "00000" + magnitude(8))),
       "AC coefficient of 65536"},
      {"progressive, times its step", progressive_ac(20, ac_scan(0, 7, "00000" + magnitude(-103))),
       "AC coefficient of -103 times 20"},
      {"progressive, a bit that a later scan adds",
       progressive_ac(1, ac_scan(0x0b, 1, "00001") + ac_scan(0xba, 1,
                                                             "00000"
                                                             "1")),
       "AC coefficient of 1024"},
  };
  for (const auto& row : table) {
    CAPTURE(row.what);
    const std::string said = sentence([&] { read_image(row.file, "photo"); });
    CAPTURE(said);
    CHECK(said.starts_with("photo: JPEG with an "));
    CHECK(contains(said, row.sentence));
  }
}

}  // namespace atrous::jpeg_coefficients_test
