// Text that comes from files on its way to people: what may become a name, and how to quote what may not.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace atrous {

// Valid UTF-8 (no overlong forms, no surrogates) without control characters, neither C0, DEL nor C1: such
// text cannot steer a terminal.
bool is_clean_text(std::string_view);

// For error sentences: bytes that are not clean text become \xNN, and what is over 120 bytes is cut.
std::string printable(std::string_view);

// A state-dict key: clean text of 1 to 1024 bytes, or Error(malformed).
void check_key(std::string_view);

}  // namespace atrous
