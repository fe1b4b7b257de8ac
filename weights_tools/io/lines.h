// Text files of one entry a line.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace atrous {

// Without spaces, tabs and carriage returns at both ends.
inline std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r");
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

// use(number, line), from 1 on, trimmed; empty lines are counted and left out.
template <class Use>
void each_line(std::string_view text, Use use) {
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line.empty()) use(number, line);
  }
}

}  // namespace atrous
