// What a request is refused for, as RFC 9457 (problem details) has it.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace atrous::serve {

using Headers = std::vector<std::pair<std::string, std::string>>;

// Thrown by whatever looks at a request, and answered.
struct Problem {
  int status = 500;
  std::string detail;  // one sentence; no path of the server's
  Headers headers = {};
};

// What goes back. A HEAD request's answer has the headers of GET's.
struct Reply {
  int status = 200;
  std::string type = "application/json";
  std::string body = {};
  Headers headers = {};
};

// application/problem+json: type, title, status, detail.
Reply reply_of(const Problem&);

// "Not Found"; HTTP's words for a status that this server gives.
std::string_view reason_of(int status);

}  // namespace atrous::serve
