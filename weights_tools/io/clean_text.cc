#include "weights_tools/io/clean_text.h"

#include "layers/base/error.h"
#include "layers/base/visible_text.h"

namespace atrous {

bool is_clean_text(std::string_view text) {
  while (!text.empty()) {
    const std::size_t before = text.size();
    const char32_t code = next_code_point(text);
    if (code < 0x20 || (code >= 0x7f && code < 0xa0)) return false;
    if (code == U'\ufffd' && before - text.size() == 1) return false;
  }
  return true;
}

std::string printable(std::string_view text) {
  constexpr std::size_t longest = 120;
  if (text.size() <= longest) return visible(text);
  std::size_t end = longest;  // before which no character is cut in two
  while (end > longest - 4 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return visible(text.substr(0, end)) + "...";
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
