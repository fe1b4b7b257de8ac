// How far a download is.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "cli/progress_line.h"

namespace atrous::cli {

class DownloadProgress {
 public:
  DownloadProgress(std::string name, bool wanted) : name_(std::move(name)), line_(wanted) {}

  bool is_drawn() const { return line_.is_drawn_to(); }
  void show(std::uint64_t bytes, std::uint64_t total);  // total: 0 while unknown
  void clear() { line_.clear(); }

 private:
  using Clock = std::chrono::steady_clock;

  std::string name_;
  ProgressLine line_;
  bool begun_ = false;
  std::uint64_t first_bytes_ = 0;  // there before, of a download that is resumed
  Clock::time_point began_;
};

// "net  [#####.....]  120.3 of 233.2 MiB  12.3 MiB/s  9 s left", at most `columns` wide: the bar gives way
// first. rate: bytes a second, 0 while unknown.
std::string progress_line(const std::string& name, std::uint64_t bytes, std::uint64_t total, double rate,
                          std::size_t columns);

}  // namespace atrous::cli
