// The head of a request, its line and its fields, read strictly (RFC 9112) before httplib sees any of it:
// what two readers could take in two ways is refused, and httplib is given only the fields that this server
// uses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace atrous::serve {

constexpr std::size_t most_head_bytes = 16384;
constexpr std::size_t most_head_fields = 100;
constexpr std::size_t longest_target = 2048;

struct RequestHead {
  std::string method, target;
  std::string path;        // of the target, without its query, as it was sent
  bool keep_alive = true;  // whether the connection outlives the answer: not in HTTP/1.0
  bool expects_continue = false;
  std::string host, origin, authorization, content_encoding, content_type;
  std::uint64_t content_length = 0;  // 0 without a body
  bool has_length = false;
  std::string for_httplib;  // the line and the fields that matter, ready to be parsed
};

// The bytes of the head with the empty line behind it, or nothing where that has not come yet. Empty lines
// before the request line belong to it (RFC 9112, 2.2).
std::optional<std::size_t> head_length(std::string_view received);

// head: head_length() bytes. Problem(400) for what is no HTTP: lines that do not end in CR LF, controls,
// folded lines, fields without a colon or with a space before it, Host or Content-Length missing where it is
// needed or there twice; Problem(411) for a chunked body, 417 for another expectation than 100-continue, 414
// and 431 for targets and heads that are too long, 501 for methods, 505 for versions that HTTP/1.1 does not
// have.
RequestHead parse_head(std::string_view head);

// Without the spaces and tabs at both ends, which belong to no value (RFC 9110, 5.6.3).
std::string_view without_blanks(std::string_view);

}  // namespace atrous::serve
