// A line for each request that was answered, or whose client went away before:
//
//   2026-11-30T08:01:02.345Z 127.0.0.1 POST /v1/segment 200 5321 0.312
//
// when it ended, by UTC; the address that it came from, a proxy's where there is one; method and path; the
// status; bytes of the answer, head and body, that were sent; seconds from its first byte to the answer's
// last. "-" stands for what there is not: a method and a path in what is no HTTP, a status where the client
// went away first. Neither tokens nor queries are in it. Where lines could not be written, the next that can
// stands behind one that says so:
//
//   # 2026-11-30T08:01:02.345Z 17 lines lost
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

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

// Lines are written by a thread of the log's own: a pipe that nobody reads, or a disk that hangs, keeps
// nobody who answers requests waiting. The functions are for one thread, but for lost().
class AccessLog {
 public:
  // A file that lines are added to, or "-", standard output; lines of at most so many bytes may wait.
  // Error(io) naming the file where it cannot be opened.
  explicit AccessLog(std::string path, std::size_t most_waiting = 1 << 20);
  // Waits a second at most for what is not written yet.
  ~AccessLog();
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

  // Returns at once. A line is lost and counted where too many wait already, on a full disk and for want of
  // memory.
  void write(const Served&) noexcept;
  std::uint64_t lost() const noexcept;

  // Begins the file anew where another program has renamed or removed it, as logrotate does. Called now and
  // then.
  void look_after() noexcept;

  // Waits for what was given so far, whether it is written then.
  bool flush(std::chrono::milliseconds at_most) noexcept;

 private:
  struct State;
  std::shared_ptr<State> state_;  // the thread's too: one that is stuck in a write outlives the log
  std::thread thread_;
};

}  // namespace atrous::serve
