#include "weights_tools/io/lines.h"

#include <algorithm>
#include <array>

#include "layers/base/error.h"

namespace atrous {

namespace {

using namespace std::string_view_literals;

constexpr std::string_view byte_order_mark = "\ufeff";
constexpr std::array blanks{" "sv, "\t"sv, "\r"sv, "\v"sv, "\f"sv, "\u00a0"sv, "\u3000"sv, byte_order_mark};

}  // namespace

std::string_view trimmed(std::string_view text) {
  const auto blank_at = [](auto matches) { return std::ranges::find_if(blanks, matches); };
  for (auto b = blanks.begin(); b != blanks.end();) {
    b = blank_at([&](std::string_view blank) { return text.starts_with(blank); });
    if (b != blanks.end()) text.remove_prefix(b->size());
  }
  for (auto b = blanks.begin(); b != blanks.end();) {
    b = blank_at([&](std::string_view blank) { return text.ends_with(blank); });
    if (b != blanks.end()) text.remove_suffix(b->size());
  }
  return text;
}

void each_line(std::string_view text, std::string_view name,
               const std::function<void(std::size_t, std::string_view)>& use) {
  if (text.starts_with("\xff\xfe"sv) || text.starts_with("\xfe\xff"sv))
    fail(ErrorCode::unsupported, name, ": is UTF-16 text; save the file as UTF-8");
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find_first_of("\r\n"), text.size());
    const std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(end);
    text.remove_prefix(text.starts_with("\r\n") ? 2 : std::min<std::size_t>(1, text.size()));
    if (!line.empty()) use(number, line);
  }
}

}  // namespace atrous
