#include "runtime/serve/metrics.h"

#include "layers/base/error.h"

namespace atrous::serve {

void Metrics::count(const std::string& path, int status) {
  const std::lock_guard lock(mutex_);
  ++requests_[{path, status}];
}

void Metrics::add(const StageSeconds& seconds) {
  const std::lock_guard lock(mutex_);
  for (std::size_t i = 0; i < seconds.size(); ++i) seconds_[i] += seconds[i];
  ++photos_;
}

double Metrics::mean_seconds() const {
  const std::lock_guard lock(mutex_);
  double all = 0;
  for (std::size_t i = 1; i < seconds_.size(); ++i) all += seconds_[i];
  return photos_ == 0 ? 0 : all / static_cast<double>(photos_);
}

std::string Metrics::text(const Gauges& now) const {
  const std::lock_guard lock(mutex_);
  std::string out =
      "# HELP atrous_requests_total Requests answered, by path and status.\n"
      "# TYPE atrous_requests_total counter\n";
  for (const auto& [key, count] : requests_)
    out += str_cat("atrous_requests_total{path=\"", key.first, "\",code=\"", key.second, "\"} ", count, '\n');
  out +=
      "# HELP atrous_stage_seconds Seconds that photos took, by stage.\n"
      "# TYPE atrous_stage_seconds summary\n";
  for (std::size_t i = 0; i < seconds_.size(); ++i)
    out += str_cat("atrous_stage_seconds_sum{stage=\"", stage_names[i], "\"} ", seconds_[i],
                   "\natrous_stage_seconds_count{stage=\"", stage_names[i], "\"} ", photos_, '\n');
  const auto put = [&](const char* name, const char* kind, const char* what, std::uint64_t value) {
    out += str_cat("# HELP atrous_", name, ' ', what, "\n# TYPE atrous_", name, ' ', kind, "\natrous_", name,
                   ' ', value, '\n');
  };
  put("queue_length", "gauge", "Photos that wait for a session.", now.waiting);
  put("queue_capacity", "gauge", "Photos that may wait.", now.capacity);
  put("sessions", "gauge", "Sessions.", now.sessions);
  put("sessions_busy", "gauge", "Sessions that compute.", now.busy);
  put("connections", "gauge", "Open connections.", now.connections);
  put("buffered_bytes", "gauge", "Bytes of bodies and answers on their way.", now.held_bytes);
  put("connections_evicted_total", "counter", "Connections closed to make room for others.", now.evicted);
  put("log_lines_lost_total", "counter", "Lines that the access log could not write.", now.lost_log_lines);
  put("received_bytes_total", "counter", "Bytes received.", now.received_bytes);
  return out;
}

}  // namespace atrous::serve
