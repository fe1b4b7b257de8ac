// Requests that wait for a session: a bounded queue, first come, first served.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "runtime/serve/request_head.h"

namespace atrous::serve {

using Clock = std::chrono::steady_clock;

struct Job {
  std::uint64_t connection = 0;
  RequestHead head = {};
  std::string body = {};
  Clock::time_point came = Clock::now();
};

class Jobs {
 public:
  explicit Jobs(std::size_t capacity) : capacity_(capacity) {}

  // False, and the job is dropped, where as many wait as may. A job that a session is free for does not wait.
  bool push(Job job);

  // Waits for a job; nothing once there will be no more. With one the caller is busy, until it calls done().
  std::optional<Job> pop();

  // Takes out those that came before, and the one of a connection that is gone.
  std::vector<Job> take_older(Clock::time_point);
  void drop(std::uint64_t connection);

  void end();  // no more come; those that wait are still taken

  // How many wait, how many are computed, and whether another could be pushed.
  std::size_t waiting() const;
  std::size_t busy() const;
  bool full() const;
  std::size_t capacity() const { return capacity_; }

  void add_worker();  // one that will call pop()
  void done();        // the job that pop() gave is computed

 private:
  bool is_full() const { return jobs_.size() >= capacity_ + (workers_ - busy_); }

  const std::size_t capacity_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  std::size_t workers_ = 0, busy_ = 0;
  bool ended_ = false;
};

}  // namespace atrous::serve
