// Decode, run, finish: many photos on their way at once, each step in the photos' order.
//
//   prepare   on threads of their own, some jobs ahead
//   run       on the caller's thread
//   finish    on a thread of its own, some jobs behind, or on the caller's
//
// Jobs are run and finished one by one in the order of their numbers, whatever the timing.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/engine/bounded_queue.h"

namespace atrous {

template <class Job>
struct PipelineSteps {
  std::function<Job(std::size_t number)> prepare = {};
  std::function<void(Job&)> run = {};  // may be missing
  std::function<void(Job&)> finish = {};
  std::function<bool()> stop = {};  // asked before each job is run: true ends after those that were run
};

struct PipelineSizes {
  std::size_t first = 0, last = 0;  // the jobs' numbers, without `last`
  std::size_t threads = 0;          // that prepare; 0: the caller's prepares each job when its turn has come
  std::size_t ahead = 1;            // jobs that have begun and are not run yet, at most
  std::size_t behind = 0;           // jobs that wait to be finished, at most; 0: finished by the caller's
};

// Makes jobs in threads and hands them out in order. Job n is not begun before job n - ahead was taken.
template <class Job>
class PreparedJobs {
 public:
  PreparedJobs(const PipelineSizes& sizes, const std::function<Job(std::size_t)>& prepare)
      : last_(sizes.last),
        ahead_(std::max<std::size_t>(1, sizes.ahead)),
        prepare_(prepare),
        slots_(ahead_),
        begun_(sizes.first),
        taken_(sizes.first) {
    threads_.reserve(sizes.threads);
    try {
      while (threads_.size() < sizes.threads) threads_.emplace_back([this] { work(); });
    } catch (const std::system_error&) {  // fewer threads do, and none too
    }
  }
  ~PreparedJobs() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }
  PreparedJobs(const PreparedJobs&) = delete;
  PreparedJobs& operator=(const PreparedJobs&) = delete;

  // The next job; what its preparation threw.
  Job take() {
    if (threads_.empty()) return prepare_(taken_++);
    std::unique_lock lock(mutex_);
    Slot& slot = slots_[taken_ % ahead_];
    changed_.wait(lock, [&] { return slot.ready; });
    const std::exception_ptr failure = std::exchange(slot.failure, nullptr);
    std::optional<Job> job = std::move(slot.job);
    slot.job.reset();
    slot.ready = false;
    ++taken_;
    changed_.notify_all();
    if (failure) std::rethrow_exception(failure);
    return *std::move(job);
  }

 private:
  struct Slot {
    std::optional<Job> job;
    std::exception_ptr failure;
    bool ready = false;
  };

  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return closed_ || begun_ == last_ || begun_ < taken_ + ahead_; });
      if (closed_ || begun_ == last_) return;
      const std::size_t number = begun_++;
      Slot& slot = slots_[number % ahead_];
      lock.unlock();
      try {
        slot.job.emplace(prepare_(number));
      } catch (...) {
        slot.failure = std::current_exception();
      }
      lock.lock();
      slot.ready = true;
      changed_.notify_all();
    }
  }

  const std::size_t last_, ahead_;
  const std::function<Job(std::size_t)>& prepare_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Slot> slots_;  // job n's is n modulo ahead
  std::size_t begun_, taken_;
  bool closed_ = false;
  std::vector<std::jthread> threads_;  // last: joined before what they use is gone
};

// Throws what a step threw: the jobs that were run before are finished, no others are begun. Where finishing
// fails too, or alone, that error is thrown, and jobs behind are dropped.
template <class Job>
void run_pipeline(const PipelineSizes& sizes, const PipelineSteps<Job>& steps) {
  std::exception_ptr failure, finishing_failure;
  BoundedQueue<Job> behind(sizes.behind);
  {
    std::jthread finishing;
    try {
      if (sizes.behind > 0)
        finishing = std::jthread([&] {
          try {
            while (std::optional<Job> job = behind.pop()) steps.finish(*job);
          } catch (...) {
            finishing_failure = std::current_exception();
            behind.abandon();
          }
        });
      PreparedJobs<Job> prepared(sizes, steps.prepare);
      for (std::size_t i = sizes.first; i < sizes.last && !(steps.stop && steps.stop()); ++i) {
        Job job = prepared.take();
        if (steps.run) steps.run(job);
        if (sizes.behind == 0)
          steps.finish(job);
        else if (!behind.push(std::move(job)))
          break;
      }
    } catch (...) {
      failure = std::current_exception();
    }
    behind.end();
  }
  if (finishing_failure) std::rethrow_exception(finishing_failure);
  if (failure) std::rethrow_exception(failure);
}

}  // namespace atrous
