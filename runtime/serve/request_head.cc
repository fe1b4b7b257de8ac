#include "runtime/serve/request_head.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "layers/base/ascii.h"
#include "layers/base/error.h"
#include "runtime/serve/problem.h"

namespace atrous::serve {

namespace {

[[noreturn]] void bad_request(std::string sentence) { throw Problem{400, std::move(sentence)}; }

// RFC 9110, 5.6.2.
bool is_token_character(char c) {
  return is_digit(c) || is_letter(c) || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

// Whether one of the words between commas is this one, which is in lower case.
bool lists(std::string_view value, std::string_view word) {
  while (!value.empty()) {
    const std::size_t comma = std::min(value.find(','), value.size());
    if (lower(without_blanks(value.substr(0, comma))) == word) return true;
    value.remove_prefix(std::min(comma + 1, value.size()));
  }
  return false;
}

void parse_line(std::string_view line, RequestHead& head) {
  const std::size_t first = line.find(' ');
  const std::size_t second = first == line.npos ? line.npos : line.find(' ', first + 1);
  if (second == line.npos || line.find(' ', second + 1) != line.npos)
    bad_request("expected a request line of a method, a target and a version");
  const std::string_view method = line.substr(0, first), version = line.substr(second + 1);
  const std::string_view target = line.substr(first + 1, second - first - 1);
  if (method.empty() || !std::ranges::all_of(method, is_token_character))
    bad_request("expected a method of letters");
  if (version != "HTTP/1.1" && version != "HTTP/1.0") {
    if (version.starts_with("HTTP/") && version.size() == 8) throw Problem{505, "expected HTTP/1.1"};
    bad_request("expected the version HTTP/1.1");
  }
  constexpr std::array<std::string_view, 7> known{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"};
  if (std::ranges::find(known, method) == known.end()) throw Problem{501, "no such method here"};
  if (target.size() > longest_target)
    throw Problem{414, str_cat("a target of ", target.size(), " bytes: at most ", longest_target)};
  if (!target.starts_with('/') || target.find('#') != target.npos)
    bad_request("expected a target that begins with / and has no fragment");
  if (std::ranges::any_of(target, [](char c) { return c <= ' ' || c > '~'; }))
    bad_request("expected a target of printable ASCII");
  head.method = method;
  head.target = target;
  head.path = target.substr(0, target.find('?'));
  head.keep_alive = version == "HTTP/1.1";
  head.for_httplib = str_cat(method, ' ', target, " HTTP/1.1\r\n");
}

void take_once(std::string& into, std::string_view name, std::string_view value, bool seen) {
  if (seen) bad_request(str_cat(name, " is there twice"));
  into = value;
}

}  // namespace

std::string_view without_blanks(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::optional<std::size_t> head_length(std::string_view received) {
  std::size_t begin = 0;
  while (received.substr(begin).starts_with("\r\n")) begin += 2;
  const std::size_t end = received.find("\r\n\r\n", begin);
  return end == received.npos ? std::nullopt : std::optional(end + 4);
}

RequestHead parse_head(std::string_view text) {
  RequestHead head;
  while (text.starts_with("\r\n")) text.remove_prefix(2);
  if (text.size() > most_head_bytes)
    throw Problem{431, str_cat("a head of ", text.size(), " bytes: at most ", most_head_bytes)};
  bool is_line = true, has_host = false, has_origin = false, has_authorization = false;
  bool has_type = false, has_encoding = false, has_expect = false;
  std::string connection, expect;
  for (std::size_t fields = 0; text != "\r\n"; ++fields) {
    const std::size_t end = text.find("\r\n");
    if (end == text.npos) bad_request("expected lines that end in CR LF");
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 2);
    if (std::ranges::any_of(line, [](char c) {
          const auto byte = static_cast<unsigned char>(c);
          return (byte < ' ' && byte != '\t') || byte == 0x7f;
        }))
      bad_request("a control character in the head");
    if (is_line) {
      parse_line(line, head);
      is_line = false;
      continue;
    }
    if (fields > most_head_fields)
      throw Problem{431, str_cat("more than ", most_head_fields, " fields in the head")};
    const std::size_t colon = line.find(':');
    if (colon == line.npos || colon == 0 || !std::ranges::all_of(line.substr(0, colon), is_token_character))
      bad_request("expected fields of a name, a colon and a value, each in one line");
    const std::string name = lower(line.substr(0, colon));
    const std::string_view value = without_blanks(line.substr(colon + 1));
    bool passed_on = false;
    if (name == "host") {
      take_once(head.host, "Host", value, std::exchange(has_host, true));
    } else if (name == "content-length") {
      std::string digits;
      take_once(digits, "Content-Length", value, std::exchange(head.has_length, true));
      const auto [rest, error] =
          std::from_chars(digits.data(), digits.data() + digits.size(), head.content_length);
      if (error != std::errc() || rest != digits.data() + digits.size() || digits.empty())
        bad_request("expected a Content-Length of digits");
    } else if (name == "transfer-encoding") {
      throw Problem{411, "expected a body with a Content-Length, found Transfer-Encoding"};
    } else if (name == "connection") {
      connection += (connection.empty() ? "" : ",") + std::string(value);
    } else if (name == "expect") {
      take_once(expect, "Expect", value, std::exchange(has_expect, true));
    } else if (name == "origin") {
      take_once(head.origin, "Origin", value, std::exchange(has_origin, true));
    } else if (name == "authorization") {
      take_once(head.authorization, "Authorization", value, std::exchange(has_authorization, true));
    } else if (name == "content-encoding") {
      take_once(head.content_encoding, "Content-Encoding", value, std::exchange(has_encoding, true));
    } else if (name == "content-type") {
      take_once(head.content_type, "Content-Type", value, std::exchange(has_type, true));
    } else {
      passed_on = name == "accept";
    }
    if (passed_on) head.for_httplib += str_cat(name, ": ", value, "\r\n");
  }
  if (is_line) bad_request("expected a request line");
  if (!has_host) bad_request("expected a Host");
  const bool version_1_0 = !head.keep_alive;
  head.keep_alive = !version_1_0 && !lists(connection, "close");
  if (has_expect && lower(expect) != "100-continue")
    throw Problem{417, "no expectation but 100-continue can be met"};
  head.expects_continue = has_expect && !version_1_0;
  if (head.method == "POST" && !head.has_length) throw Problem{411, "expected a body with a Content-Length"};
  head.for_httplib += "\r\n";
  return head;
}

}  // namespace atrous::serve
