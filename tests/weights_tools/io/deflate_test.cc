// Both implementations, each against the other and against published values.
#include "weights_tools/io/deflate.h"

#include <doctest/doctest.h>

#include <cstring>
#include <random>
#include <string>

namespace atrous {

// weights_tools/io/deflate_stb.cc as tests/CMakeLists.txt has it compiled.
Inflated stb_zlib_inflate(std::span<const std::byte>, std::span<std::byte>);
std::vector<std::byte> stb_zlib_deflate(std::span<const std::byte>, int level);
std::uint32_t stb_crc32(std::span<const std::byte>);

namespace deflate_test {

namespace {

using Bytes = std::vector<std::byte>;

struct Implementation {
  const char* name;
  decltype(&zlib_inflate) inflate;
  decltype(&zlib_deflate) deflate;
  decltype(&crc32) crc;
};
constexpr Implementation implementations[] = {{"libdeflate", zlib_inflate, zlib_deflate, crc32},
                                              {"stb", stb_zlib_inflate, stb_zlib_deflate, stb_crc32}};

Bytes bytes_of(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

// Like rows of a picture: runs, repetitions and noise.
Bytes picture_like(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  Bytes bytes;
  while (bytes.size() < size) {
    const std::size_t run = 1 + random() % 300;
    const auto value = static_cast<std::byte>(random());
    const bool noise = random() % 3 == 0;
    for (std::size_t i = 0; i < run; ++i) bytes.push_back(noise ? static_cast<std::byte>(random()) : value);
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace

TEST_CASE("deflate: CRC-32 has its published check value") {
  for (const Implementation& of : implementations) {
    CAPTURE(of.name);
    CHECK(of.crc(bytes_of("123456789")) == 0xcbf43926);  // the catalogue of parametrised CRC algorithms
    CHECK(of.crc({}) == 0);
  }
}

TEST_CASE("deflate: what either writes both read, whole, and never beyond their room") {
  for (const std::size_t size : {std::size_t{1}, std::size_t{257}, std::size_t{70000}, std::size_t{400000}}) {
    const Bytes bytes = picture_like(size, static_cast<unsigned>(size));
    for (const Implementation& writer : implementations)
      for (const int level : {1, 6, 9}) {
        const Bytes compressed = writer.deflate(bytes, level);
        for (const Implementation& reader : implementations) {
          CAPTURE(size);
          CAPTURE(level);
          CAPTURE(writer.name);
          CAPTURE(reader.name);
          Bytes room(size);
          Inflated got = reader.inflate(compressed, room);
          CHECK(got.outcome == Inflation::done);
          CHECK(got.produced == size);
          CHECK(room == bytes);
          Bytes larger(size + 10, std::byte{7});
          got = reader.inflate(compressed, larger);
          CHECK(got.outcome == Inflation::done);
          CHECK(got.produced == size);
          Bytes guarded(size, std::byte{7});  // all but the last byte is room
          got = reader.inflate(compressed, std::span(guarded).first(size - 1));
          CHECK(got.outcome == Inflation::no_room);
          CHECK(guarded.back() == std::byte{7});
          Bytes followed = compressed;
          followed.resize(followed.size() + 20);
          got = reader.inflate(followed, room);
          CHECK(got.outcome == Inflation::done);
          CHECK(room == bytes);
        }
      }
  }
}

TEST_CASE("deflate: a stream that is cut short or changed is damaged") {
  const Bytes bytes = picture_like(900, 3);
  const Bytes compressed = zlib_deflate(bytes, 6);
  for (const Implementation& reader : implementations) {
    CAPTURE(reader.name);
    Bytes room(bytes.size());
    for (std::size_t length = 0; length < compressed.size(); ++length) {
      const Inflated got = reader.inflate(std::span(compressed).first(length), room);
      CHECK_MESSAGE(got.outcome != Inflation::done, length);
    }
    for (std::size_t bit = 0; bit < 8 * compressed.size(); ++bit) {
      Bytes changed = compressed;
      changed[bit / 8] ^= std::byte{1} << (bit % 8);
      const Inflated got = reader.inflate(changed, room);
      // The header's level changes nothing, and has five bits that check it; all else is in the bytes or
      // their sum.
      if (got.outcome == Inflation::done) CHECK_MESSAGE(room == bytes, bit);
    }
  }
}

}  // namespace deflate_test

}  // namespace atrous
