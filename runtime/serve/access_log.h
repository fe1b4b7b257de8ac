// A line for each request that was answered, or whose client went away before:
//
//   2026-11-30T08:01:02.345Z 127.0.0.1 POST /v1/segment 200 5321 0.312
//
// when it ended, by UTC; the address that it came from, a proxy's where there is one; method and path; the
// status; bytes of the answer, head and body, that were sent; seconds from its first byte to the answer's
// last. "-" stands for what there is not: a method and a path in what is no HTTP, a status where the client
// went away first. Neither tokens nor queries are in it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace atrous::serve {

// The views are valid during the call that is given them.
struct Served {
  std::string_view address, method, path;  // empty where there is none
  int status = 0;                          // 0: none
  std::uint64_t bytes = 0;
  double seconds = 0;
};

// The line, its end included. What is no printable ASCII, a quote, a backslash or a percent sign in method,
// path and address is percent-encoded, so that a line has seven words whatever was sent.
std::string log_line(const Served&, std::chrono::system_clock::time_point);

// One thread's.
class AccessLog {
 public:
  // A file that lines are added to, or "-", standard output. Error(io) naming the file where it cannot be
  // opened.
  explicit AccessLog(std::string path);
  ~AccessLog();
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

  // By one write(). A line that cannot be written, on a full disk or for want of memory, is lost and counted.
  void write(const Served&) noexcept;
  std::uint64_t lost() const { return lost_; }

  // Begins the file anew where another program has renamed or removed it, as logrotate does. Called now and
  // then.
  void look_after() noexcept;

 private:
  std::string path_;
  int descriptor_ = -1;
  std::uint64_t lost_ = 0;
};

}  // namespace atrous::serve
