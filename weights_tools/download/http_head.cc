#include "weights_tools/download/http_head.h"

#include <algorithm>
#include <charconv>

#include "layers/base/ascii.h"
#include "layers/base/error.h"
#include "weights_tools/io/clean_text.h"

namespace atrous {

namespace {

constexpr std::size_t most_head_bytes = 64 << 10;

std::optional<std::uint64_t> number(std::string_view digits) {
  std::uint64_t value = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

std::string_view trim(std::string_view s) {
  const auto first = s.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return s.substr(first, s.find_last_not_of(" \t\r") - first + 1);
}

// RFC 9112, 4: "HTTP/1.1 206 Partial Content"; HTTP/2 has neither a minor version nor words.
int parse_status(std::string_view line) {
  const auto space = std::min(line.find(' '), line.size());
  const std::uint64_t code = number(line.substr(std::min(space + 1, line.size()), 3)).value_or(0);
  if (!line.starts_with("HTTP/") || code < 100)
    fail(ErrorCode::malformed, "the server's answer begins with ", printable(line), ", not with a status");
  return static_cast<int>(code);
}

// RFC 9110, 14.4: "bytes 100-199/1000", "bytes 100-199/*", "bytes */1000".
void parse_range(std::string_view value, HttpHead& head) {
  constexpr std::string_view unit = "bytes ";
  const auto slash = value.find('/');
  if (!value.starts_with(unit) || slash == std::string_view::npos) return;
  head.range_first = number(trim(value.substr(unit.size(), value.find('-') - unit.size())));
  head.range_total = number(value.substr(slash + 1));
}

}  // namespace

HttpHead parse_http_head(std::string_view lines) {
  HttpHead head;
  for (bool first = true; !lines.empty(); first = false) {
    const auto end = std::min(lines.find('\n'), lines.size());
    const std::string_view line = trim(lines.substr(0, end));
    lines.remove_prefix(std::min(end + 1, lines.size()));
    if (first) {
      head.status = parse_status(line);
      continue;
    }
    const auto colon = std::min(line.find(':'), line.size());
    std::string name(line.substr(0, colon));
    name = lower(name);
    const std::string_view value = trim(line.substr(std::min(colon + 1, line.size())));
    if (name == "content-length") head.length = number(value);
    if (name == "content-range") parse_range(value, head);
    if (name == "location") head.redirects = head.status / 100 == 3;
  }
  return head;
}

void HttpHeadReader::take(std::span<const std::byte>& bytes) {
  while (!done_ && !bytes.empty()) {
    const char c = static_cast<char>(bytes.front());
    bytes = bytes.subspan(1);
    pending_ += c;
    if (++total_ > most_head_bytes)
      fail(ErrorCode::limit, "the server sent more than ", most_head_bytes, " bytes of headers");
    if (!pending_.ends_with("\n\n") && !pending_.ends_with("\n\r\n")) continue;
    head_ = parse_http_head(pending_);
    pending_.clear();
    done_ = head_.status >= 200 && !head_.redirects;
  }
}

}  // namespace atrous
