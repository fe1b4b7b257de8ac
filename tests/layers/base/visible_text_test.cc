// What of a text from outside may be shown.
#include "layers/base/visible_text.h"

#include <doctest/doctest.h>

#include <string>
#include <utility>

namespace atrous::visible_text_test {

TEST_CASE("what steers a terminal, turns the direction of writing or hides is shown escaped") {
  const std::pair<std::string, std::string> cases[] = {
      {"a\nb", "a\\x0ab"},
      {"\r", "\\x0d"},
      {"\x1b[2J", "\\x1b[2J"},
      {"\x7f", "\\u007f"},
      {std::string("\0", 1), "\\x00"},
      {"\u009b2J", "\\u009b2J"},                        // CSI as one character
      {"\u0085", "\\u0085"},                            // next line
      {"\x9b", "\\x9b"},                                // the same byte in Latin-1, no UTF-8
      {"gpj.\u202egnp", "gpj.\\u202egnp"},              // right-to-left override
      {"\u2066a\u2069", "\\u2066a\\u2069"},             // isolates
      {"\u200e\u200f\u061c", "\\u200e\\u200f\\u061c"},  // marks of direction
      {"\ufeffroad", "\\ufeffroad"},
      {"ro\u200bad", "ro\\u200bad"},
      {"ro\u200dad", "ro\\u200dad"},
      {"car\u00a0", "car\\u00a0"},
      {"a\u2028b", "a\\u2028b"},
      {"\U000e0041", "\\udb40\\udc41"},
      {"\xff\xfe", "\\xff\\xfe"},
      {"\xed\xa0\x80", "\\xed\\xa0\\x80"},  // a surrogate
      {"\xc0\x8a", "\\xc0\\x8a"},           // an overlong newline
      {"\xe9", "\\xe9"},
  };
  for (const auto& [text, expected] : cases) CHECK(visible(text) == expected);
}

TEST_CASE("what can be seen is shown as it is, with the joiners that scripts need") {
  for (const char* text : {"", "dog 1.jpg", "a\\x1b", "Straße", "道路", "写真　1", "\U0001f697", "\ufffd",
                           "می\u200cخواهم",               // Persian: a non-joiner parts the words
                           "\U0001f469\u200d\U0001f680",  // woman astronaut
                           "\u2764\ufe0f"}) {             // a red heart
    CHECK(visible(text) == text);
    CHECK(visible(visible(text)) == text);
  }
}

TEST_CASE("newlines stay where they are asked for") {
  CHECK(visible("{\n \"a\": 1\r}", Newlines::kept) == "{\n \"a\": 1\\x0d}");
}

}  // namespace atrous::visible_text_test
