// How far a download is: one line on stderr, rewritten in place.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace atrous::cli {

// Draws only where stderr is a terminal, and leaves nothing behind.
class DownloadProgress {
 public:
  explicit DownloadProgress(std::string name) : name_(std::move(name)) {}
  ~DownloadProgress() { clear(); }
  DownloadProgress(const DownloadProgress&) = delete;
  DownloadProgress& operator=(const DownloadProgress&) = delete;

  void show(std::uint64_t bytes, std::uint64_t total);  // total: 0 while unknown
  void clear();

 private:
  using Clock = std::chrono::steady_clock;

  std::string name_;
  bool drawn_ = false, begun_ = false;
  std::uint64_t first_bytes_ = 0;  // there before, of a download that is resumed
  Clock::time_point began_;
};

// "net  [#####.....]  120.3 of 233.2 MiB  12.3 MiB/s  9 s left", at most `columns` wide: the bar gives way
// first. rate: bytes a second, 0 while unknown.
std::string progress_line(const std::string& name, std::uint64_t bytes, std::uint64_t total, double rate,
                          std::size_t columns);

}  // namespace atrous::cli
