#include "weights_tools/torch/pickle_input.h"

#include <algorithm>

#include "layers/base/error.h"
#include "weights_tools/torch/pickle.h"

namespace atrous {

namespace {

[[noreturn]] void fail_too_long(std::uint64_t bytes) {
  fail(ErrorCode::limit, "the pickle has ", bytes, " bytes or more, the limit is ", pickle_byte_limit);
}

}  // namespace

PickleInput::PickleInput(std::vector<std::byte> bytes) : end_(bytes.size()), bytes_(std::move(bytes)) {
  if (end_ > pickle_byte_limit) fail_too_long(end_);
}

PickleInput::PickleInput(const InputFile& file, std::uint64_t offset)
    : file_(&file), file_offset_(offset), end_(file.size() > offset ? file.size() - offset : 0) {}

void PickleInput::load(std::uint64_t until) {
  constexpr std::uint64_t chunk = std::uint64_t{64} << 10;
  if (until <= bytes_.size()) return;
  const std::uint64_t loaded = bytes_.size();
  const std::uint64_t target = std::min(std::max(until, loaded + chunk), end_);
  bytes_.resize(static_cast<std::size_t>(target));
  file_->read(file_offset_ + loaded, std::span(bytes_).subspan(static_cast<std::size_t>(loaded)));
}

std::uint32_t PickleInput::take(std::uint64_t count, std::string_view what) {
  if (count > left())
    fail(ErrorCode::malformed, "the pickle ends within ", what, ": ", count, " bytes wanted at ", position_,
         ", ", left(), " are left");
  if (position_ + count > pickle_byte_limit) fail_too_long(position_ + count);
  load(position_ + count);
  const std::uint32_t offset = position_;
  position_ += static_cast<std::uint32_t>(count);
  return offset;
}

std::string_view PickleInput::take_line(std::string_view what) {
  constexpr std::uint64_t longest = 256;
  const std::uint32_t begin = position_;
  for (std::uint64_t length = 0; length <= longest; ++length)
    if (text(take(1, what), 1) == "\n") return text(begin, length);
  fail(ErrorCode::limit, "the pickle has ", what, " of more than ", longest, " bytes");
}

}  // namespace atrous
