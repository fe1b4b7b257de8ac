// Text from outside (file names, class names, what a server said) on its way to people.
#pragma once

#include <string>
#include <string_view>

namespace atrous {

// Takes the first code point off a text in UTF-8 that is not empty. A byte that does not belong to a
// well-formed sequence (RFC 3629: overlong forms, surrogates and what lies beyond U+10FFFF are not) is taken
// alone, as U+FFFD.
char32_t next_code_point(std::string_view& text);

// Whether a character can steer a terminal, reorder what stands beside it or hide: the controls (C0, DEL,
// C1), the marks that change the direction of writing (Unicode's UAX #9), those that have no width, and
// blanks that look like a space.
bool is_invisible(char32_t);

enum class Newlines { escaped, kept };

// The text as a terminal or a web page may show it: one line, unless newlines are kept. A byte that is no
// UTF-8, and a control below the space, becomes \xNN; every other invisible character \uNNNN, two of them
// (UTF-16's surrogates) beyond U+FFFF, as JSON has it. Joiners and variation selectors after a character
// beyond ASCII stay: scripts and pictographs need them. Text without any of these is left as it is.
std::string visible(std::string_view, Newlines = Newlines::escaped);

}  // namespace atrous
