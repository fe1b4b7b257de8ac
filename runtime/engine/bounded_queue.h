// A queue between two threads that holds no more than a few things.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

namespace atrous {

template <class T>
class BoundedQueue {
 public:
  explicit BoundedQueue(std::size_t capacity) : capacity_(capacity) {}

  // Waits for room. False, and the thing is dropped, once nobody will take it any more.
  bool push(T thing) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return ended_ || abandoned_ || things_.size() < capacity_; });
    if (ended_ || abandoned_) return false;
    things_.push_back(std::move(thing));
    changed_.notify_all();
    return true;
  }

  // Waits for a thing; empty once there will be no more.
  std::optional<T> pop() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return ended_ || abandoned_ || !things_.empty(); });
    if (abandoned_ || things_.empty()) return std::nullopt;
    std::optional<T> thing = std::move(things_.front());
    things_.pop_front();
    changed_.notify_all();
    return thing;
  }

  void end() { set(ended_); }          // nothing more comes; what is there can still be taken
  void abandon() { set(abandoned_); }  // nobody will take or bring anything any more

 private:
  void set(bool& flag) {
    const std::lock_guard lock(mutex_);
    flag = true;
    changed_.notify_all();
  }

  const std::size_t capacity_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<T> things_;
  bool ended_ = false, abandoned_ = false;
};

}  // namespace atrous
