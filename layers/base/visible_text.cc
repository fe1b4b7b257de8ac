#include "layers/base/visible_text.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace atrous {

namespace {

struct Range {
  char32_t first, last;
};

// Unicode 15: the categories Cc, Cf, Zl, Zp and Zs (but for the space and the ideographic one, which is as
// wide as a letter), and what else DerivedCoreProperties.txt has as Default_Ignorable_Code_Point.
constexpr std::array<Range, 28> invisible{
    {{0x0000, 0x001f},   {0x007f, 0x00a0},   {0x00ad, 0x00ad},   {0x034f, 0x034f},   {0x0600, 0x0605},
     {0x061c, 0x061c},   {0x06dd, 0x06dd},   {0x070f, 0x070f},   {0x0890, 0x0891},   {0x08e2, 0x08e2},
     {0x115f, 0x1160},   {0x1680, 0x1680},   {0x17b4, 0x17b5},   {0x180b, 0x180f},   {0x2000, 0x200f},
     {0x2028, 0x202f},   {0x205f, 0x206f},   {0x3164, 0x3164},   {0xfe00, 0xfe0f},   {0xfeff, 0xfeff},
     {0xffa0, 0xffa0},   {0xfff0, 0xfffb},   {0x110bd, 0x110bd}, {0x110cd, 0x110cd}, {0x13430, 0x1343f},
     {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff}}};

// Zero width non-joiner and joiner, and variation selectors.
bool joins(char32_t c) {
  return c == 0x200c || c == 0x200d || (c >= 0xfe00 && c <= 0xfe0f) || (c >= 0xe0100 && c <= 0xe01ef);
}

void append_hex(std::string& out, std::uint32_t value, int digits) {
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) out += "0123456789abcdef"[value >> shift & 15];
}

void append_escaped(std::string& out, char32_t code) {
  if (code > 0xffff) {
    const std::uint32_t above = code - 0x10000;
    append_escaped(out, 0xd800 + (above >> 10));
    code = 0xdc00 + (above & 0x3ff);
  }
  out += "\\u";
  append_hex(out, code, 4);
}

}  // namespace

char32_t next_code_point(std::string_view& text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t lead = byte(0);
  // Leading ones of the first byte: the length of the sequence, but 0 for a single byte.
  const int ones = std::countl_one(lead);
  const std::size_t length = ones == 0 ? 1 : static_cast<std::size_t>(ones);
  constexpr char32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  char32_t code = ones == 0 ? lead : lead & (0x7fu >> ones);
  bool valid = ones != 1 && ones <= 4 && length <= text.size();
  for (std::size_t i = 1; valid && i < length; ++i) {
    valid = (byte(i) & 0xc0) == 0x80;
    code = code << 6 | (byte(i) & 0x3fu);
  }
  valid = valid && code >= smallest[ones] && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
  text.remove_prefix(valid ? length : 1);
  return valid ? code : U'\ufffd';
}

bool is_invisible(char32_t code) {
  const auto range = std::ranges::lower_bound(invisible, code, {}, &Range::last);
  return range != invisible.end() && code >= range->first;
}

std::string visible(std::string_view text, Newlines newlines) {
  std::string out;
  bool after_wide = false;  // the last character lies beyond ASCII and has been left as it is
  while (!text.empty()) {
    const std::string_view from = text;
    const char32_t code = next_code_point(text);
    const std::string_view bytes = from.substr(0, from.size() - text.size());
    const bool broken = code == U'\ufffd' && bytes.size() == 1;
    const bool shown = !broken && (!is_invisible(code) || (code == '\n' && newlines == Newlines::kept) ||
                                   (after_wide && joins(code)));
    if (shown) {
      out += bytes;
    } else if (broken || code < 0x20) {
      out += "\\x";
      append_hex(out, static_cast<std::uint8_t>(bytes.front()), 2);
    } else {
      append_escaped(out, code);
    }
    after_wide = shown && code >= 0x80;
  }
  return out;
}

}  // namespace atrous
