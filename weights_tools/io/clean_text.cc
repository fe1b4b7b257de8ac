#include "weights_tools/io/clean_text.h"

#include <cstdint>

#include "layers/base/error.h"

namespace atrous {

namespace {

std::uint8_t byte_at(std::string_view s, std::size_t i) { return static_cast<std::uint8_t>(s[i]); }

// The length of the clean character that begins at `i`, or 0. Unicode 15, table 3-7: well-formed UTF-8.
std::size_t clean_length(std::string_view s, std::size_t i) {
  const std::uint8_t lead = byte_at(s, i);
  if (lead < 0x80) return lead >= 0x20 && lead != 0x7f ? 1 : 0;
  const std::size_t length = lead >= 0xc2 && lead <= 0xdf   ? 2
                             : (lead & 0xf0) == 0xe0        ? 3
                             : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                            : 0;
  if (length == 0 || s.size() - i < length) return 0;
  for (std::size_t k = 1; k < length; ++k)
    if ((byte_at(s, i + k) & 0xc0) != 0x80) return 0;
  const std::uint8_t second = byte_at(s, i + 1);
  if (lead == 0xc2 && second < 0xa0) return 0;  // C1 controls
  if (lead == 0xe0 && second < 0xa0) return 0;  // overlong
  if (lead == 0xed && second > 0x9f) return 0;  // surrogates
  if (lead == 0xf0 && second < 0x90) return 0;  // overlong
  if (lead == 0xf4 && second > 0x8f) return 0;  // beyond U+10FFFF
  return length;
}

}  // namespace

bool is_clean_text(std::string_view s) {
  for (std::size_t i = 0; i < s.size();) {
    const std::size_t length = clean_length(s, i);
    if (length == 0) return false;
    i += length;
  }
  return true;
}

std::string printable(std::string_view s) {
  constexpr std::size_t longest = 120;
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  for (std::size_t i = 0; i < s.size();) {
    if (i >= longest) return out + "...";
    if (const std::size_t length = clean_length(s, i)) {
      out += s.substr(i, length);
      i += length;
    } else {
      out += "\\x";
      out += digits[byte_at(s, i) >> 4];
      out += digits[byte_at(s, i) & 15];
      ++i;
    }
  }
  return out;
}

void check_key(std::string_view key) {
  constexpr std::size_t longest = 1024;
  if (key.empty()) fail(ErrorCode::malformed, "the state dict has an empty key");
  if (key.size() > longest)
    fail(ErrorCode::malformed, "the key ", printable(key), " has ", key.size(), " bytes, more than ",
         longest);
  if (!is_clean_text(key))
    fail(ErrorCode::malformed, "the key ", printable(key), " has control characters or is not UTF-8");
}

}  // namespace atrous
