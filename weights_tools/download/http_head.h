// What an HTTP answer says before its body, taken from a stream that may hold several answers in a row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace atrous {

struct HttpHead {
  int status = 0;                            // 0: no answer yet
  bool redirects = false;                    // 3xx with a Location
  std::optional<std::uint64_t> length;       // Content-Length
  std::optional<std::uint64_t> range_first;  // Content-Range: bytes FIRST-LAST/TOTAL, or */TOTAL
  std::optional<std::uint64_t> range_total;
};

// One answer's head, its lines ending in LF or CRLF. Numbers that are none are left out. Error(malformed)
// when it does not begin with a status line.
HttpHead parse_http_head(std::string_view lines);

// Cuts a stream of heads and one body: interim answers (1xx) and redirects have no body here.
class HttpHeadReader {
 public:
  // Takes what belongs to heads off the front of `bytes`; the rest is the body's. Error(malformed) for what
  // is no head, Error(limit) for more than 64 KiB of heads.
  void take(std::span<const std::byte>& bytes);

  bool done() const { return done_; }             // the last head has been read, the body follows
  const HttpHead& head() const { return head_; }  // the latest one

 private:
  std::string pending_;
  std::size_t total_ = 0;  // bytes of heads so far
  HttpHead head_;
  bool done_ = false;
};

}  // namespace atrous
