#include "runtime/serve/jobs.h"

#include <algorithm>
#include <iterator>

namespace atrous::serve {

bool Jobs::push(Job job) {
  const std::lock_guard lock(mutex_);
  if (ended_ || is_full()) return false;
  jobs_.push_back(std::move(job));
  changed_.notify_one();
  return true;
}

std::optional<Job> Jobs::pop() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return ended_ || !jobs_.empty(); });
  if (jobs_.empty()) return std::nullopt;
  Job job = std::move(jobs_.front());
  jobs_.pop_front();
  ++busy_;
  return job;
}

std::vector<Job> Jobs::take_older(Clock::time_point then) {
  const std::lock_guard lock(mutex_);
  std::vector<Job> taken;
  while (!jobs_.empty() && jobs_.front().came < then) {
    taken.push_back(std::move(jobs_.front()));
    jobs_.pop_front();
  }
  return taken;
}

void Jobs::drop(std::uint64_t connection) {
  const std::lock_guard lock(mutex_);
  std::erase_if(jobs_, [&](const Job& job) { return job.connection == connection; });
}

void Jobs::end() {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

std::size_t Jobs::waiting() const {
  const std::lock_guard lock(mutex_);
  return jobs_.size();
}

std::size_t Jobs::busy() const {
  const std::lock_guard lock(mutex_);
  return busy_;
}

bool Jobs::full() const {
  const std::lock_guard lock(mutex_);
  return is_full();
}

void Jobs::add_worker() {
  const std::lock_guard lock(mutex_);
  ++workers_;
}

void Jobs::done() {
  const std::lock_guard lock(mutex_);
  --busy_;
}

}  // namespace atrous::serve
