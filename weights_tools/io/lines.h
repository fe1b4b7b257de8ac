// Text files of one entry a line, as people and editors write them: class names, maps, palettes, the lists of
// datasets.
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>

namespace atrous {

// Without what shows nothing at both ends: spaces, tabs, carriage returns, the blanks of other alphabets
// (U+00A0, U+3000), byte order marks.
std::string_view trimmed(std::string_view);

// Calls use(number, line) for each line of a text, from 1 on, trimmed; empty lines are counted and left out.
// Lines end in LF, CRLF or CR. A byte order mark is no part of the first one. Error(unsupported), beginning
// with `name`, for UTF-16, which some editors call Unicode.
void each_line(std::string_view text, std::string_view name,
               const std::function<void(std::size_t number, std::string_view line)>& use);

}  // namespace atrous
