// Characters of ASCII. The functions of <cctype> answer by the process's locale.
#pragma once

#include <charconv>
#include <string>
#include <string_view>

namespace atrous {

constexpr bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
constexpr bool is_letter(char c) { return lower(c) >= 'a' && lower(c) <= 'z'; }

inline std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = lower(c);
  return out;
}

// The number that a text of digits is; 0 for any other text, and for more than 9 digits.
inline int number_in(std::string_view text) {
  int value = 0;
  const char* const end = text.data() + text.size();
  return text.size() <= 9 && std::from_chars(text.data(), end, value).ptr == end ? value : 0;
}

}  // namespace atrous
