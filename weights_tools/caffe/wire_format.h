// Protocol Buffers' wire format, read where it lies in a file: the fields of a message, one after another.
//
//   message   field*
//   field     key, value; key = varint of field number << 3 | wire type
//   value     0 varint, 1 eight bytes, 2 a length (varint) and as many bytes, 5 four bytes
//
// https://protobuf.dev/programming-guides/encoding. What a field means, and whether the bytes of wire type 2
// are text, numbers or a message of their own, only the reader knows. Groups (wire types 3 and 4), which
// nothing read here has, are refused. No more than a few kilobytes are in memory at a time.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "weights_tools/io/file.h"

namespace atrous {

enum class WireType : std::uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };
std::string_view name_of(WireType);

// A stretch of a file.
struct WireRange {
  std::uint64_t begin = 0, end = 0;
  std::uint64_t size() const { return end - begin; }
};

struct WireField {
  std::uint32_t number = 0;
  WireType type = WireType::varint;
  std::uint64_t value = 0;  // of a varint
  WireRange range = {};     // of the value, without its length; not of a varint
};

// Reads a file in pieces, from its front to its end.
class WireFile {
 public:
  explicit WireFile(const InputFile& file) : file_(file) {}
  std::uint64_t size() const { return file_.size(); }
  // Error(malformed) when a varint does not end in ten bytes and before `end`, or is over 64 bits. Moves
  // `at`.
  std::uint64_t varint(std::uint64_t& at, std::uint64_t end, std::string_view what);
  // Fills `out`, which has range.size() bytes.
  void read(const WireRange& range, std::span<std::byte> out);

 private:
  void load(std::uint64_t from);
  std::byte byte_at(std::uint64_t at);

  const InputFile& file_;
  std::array<std::byte, 4096> window_;
  WireRange loaded_;
};

// The fields of one message.
class WireMessage {
 public:
  // `what` names the message in errors.
  WireMessage(WireFile& file, WireRange range, std::string_view what)
      : file_(&file), at_(range.begin), end_(range.end), what_(what) {}

  // False behind the last field. Error(malformed): field number 0, a group, a value beyond the message's end.
  bool next(WireField&);

 private:
  WireFile* file_;
  std::uint64_t at_, end_;
  std::string_view what_;
};

// Error(malformed) unless the field has the type; `what` names the field.
void check_type(const WireField&, WireType, std::string_view what);

// The bytes of a field of wire type 2, at most `cap` of them, or Error(limit).
std::string read_text(WireFile&, const WireField&, std::uint64_t cap, std::string_view what);

}  // namespace atrous
