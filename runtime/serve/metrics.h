// What Prometheus asks for (text format 0.0.4).
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "runtime/serve/photo_request.h"

namespace atrous::serve {

// Of the moment, from whoever knows.
struct Gauges {
  std::size_t waiting = 0, capacity = 0, busy = 0, sessions = 0, connections = 0, held_bytes = 0;
  std::uint64_t evicted = 0, lost_log_lines = 0, received_bytes = 0;
};

// For any thread.
class Metrics {
 public:
  // path: one that the server knows, or "other": labels have to be few.
  void count(const std::string& path, int status);
  void add(const StageSeconds&);  // of one photo
  std::string text(const Gauges&) const;

  // Of the photos so far, without their waiting; nothing before the first.
  double mean_seconds() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, std::uint64_t> requests_;
  StageSeconds seconds_{};
  std::uint64_t photos_ = 0;
};

}  // namespace atrous::serve
