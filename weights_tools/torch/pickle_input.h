// The bytes of a pickle, fetched from a file as the reader goes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "weights_tools/io/bytes.h"
#include "weights_tools/io/file.h"

namespace atrous {

class PickleInput {
 public:
  explicit PickleInput(std::vector<std::byte> bytes);
  PickleInput(const InputFile& file, std::uint64_t offset);

  std::uint32_t position() const { return position_; }
  std::uint64_t left() const { return end_ - position_; }  // what the file has, loaded or not
  // Moves over `count` bytes and returns where they begin in bytes(). Error(malformed) when they are not
  // there, Error(limit) beyond pickle_byte_limit.
  std::uint32_t take(std::uint64_t count, std::string_view what);
  // Moves over a line and its newline; returns where it begins and its length without the newline.
  std::string_view take_line(std::string_view what);
  std::string_view text(std::uint32_t offset, std::uint64_t count) const {
    return as_text(std::span(bytes_).subspan(offset, static_cast<std::size_t>(count)));
  }
  template <class T>
  T number(std::string_view what) {
    const std::uint32_t offset = take(sizeof(T), what);
    return load_little_endian<T>(bytes_.data() + offset);
  }
  std::vector<std::byte> release() { return std::move(bytes_); }

 private:
  void load(std::uint64_t until);

  const InputFile* file_ = nullptr;
  std::uint64_t file_offset_ = 0;
  std::uint64_t end_ = 0;
  std::uint32_t position_ = 0;
  std::vector<std::byte> bytes_;
};

}  // namespace atrous
