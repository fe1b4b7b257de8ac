#include "weights_tools/caffe/wire_format.h"

#include <algorithm>

#include "layers/base/error.h"

namespace atrous {

std::string_view name_of(WireType type) {
  switch (type) {
    case WireType::varint:
      return "a varint";
    case WireType::fixed64:
      return "eight bytes";
    case WireType::bytes:
      return "a length and bytes";
    case WireType::fixed32:
      return "four bytes";
  }
  return "?";
}

void WireFile::load(std::uint64_t from) {
  loaded_ = {from, std::min<std::uint64_t>(file_.size(), from + window_.size())};
  file_.read(from, std::span(window_).first(static_cast<std::size_t>(loaded_.size())));
}

std::byte WireFile::byte_at(std::uint64_t at) {
  if (at < loaded_.begin || at >= loaded_.end) load(at);
  return window_[static_cast<std::size_t>(at - loaded_.begin)];
}

std::uint64_t WireFile::varint(std::uint64_t& at, std::uint64_t end, std::string_view what) {
  constexpr unsigned bits_a_byte = 7, all_bits = 64;
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < all_bits; shift += bits_a_byte) {
    if (at >= end) fail(ErrorCode::malformed, what, ": ends within a number");
    const auto byte = static_cast<std::uint64_t>(byte_at(at++));
    const std::uint64_t bits = byte & 0x7f;
    if (shift + bits_a_byte > all_bits && bits > 1)
      fail(ErrorCode::malformed, what, ": a number over 64 bits");
    value |= bits << shift;
    if ((byte & 0x80) == 0) return value;
  }
  fail(ErrorCode::malformed, what, ": a number of more than ten bytes");
}

void WireFile::read(const WireRange& range, std::span<std::byte> out) {
  if (out.size() > window_.size()) return file_.read(range.begin, out);
  // Elements one by one come from the window, not from the system.
  if (range.begin < loaded_.begin || range.end > loaded_.end) load(range.begin);
  std::copy_n(window_.begin() + static_cast<std::ptrdiff_t>(range.begin - loaded_.begin), out.size(),
              out.begin());
}

bool WireMessage::next(WireField& field) {
  if (at_ == end_) return false;
  constexpr std::uint64_t eight = 8, four = 4, most_fields = (std::uint64_t{1} << 29) - 1;
  const std::uint64_t key = file_->varint(at_, end_, what_), number = key >> 3, type = key & 7;
  if (number == 0 || number > most_fields)
    fail(ErrorCode::malformed, what_, ": field number ", number, ", expected 1 to ", most_fields);
  field = {.number = static_cast<std::uint32_t>(number), .type = static_cast<WireType>(type)};
  std::uint64_t size = 0;
  switch (type) {
    case 0:
      field.value = file_->varint(at_, end_, what_);
      return true;
    case 1:
      size = eight;
      break;
    case 2:
      size = file_->varint(at_, end_, what_);
      break;
    case 5:
      size = four;
      break;
    default:
      fail(ErrorCode::malformed, what_, ": field ", number, " has wire type ", type,
           ", a group or none at all, which Caffe does not write");
  }
  if (size > end_ - at_)
    fail(ErrorCode::malformed, what_, ": field ", number, " has ", size, " bytes, but only ", end_ - at_,
         " are left");
  field.range = {at_, at_ + size};
  at_ += size;
  return true;
}

void check_type(const WireField& field, WireType type, std::string_view what) {
  if (field.type != type)
    fail(ErrorCode::malformed, what, ": field ", field.number, ": expected ", name_of(type), ", found ",
         name_of(field.type));
}

std::string read_text(WireFile& file, const WireField& field, std::uint64_t cap, std::string_view what) {
  check_type(field, WireType::bytes, what);
  if (field.range.size() > cap)
    fail(ErrorCode::limit, what, " has ", field.range.size(), " bytes, the limit is ", cap);
  std::string text(static_cast<std::size_t>(field.range.size()), '\0');
  file.read(field.range, std::as_writable_bytes(std::span(text)));
  return text;
}

}  // namespace atrous
