// A file descriptor with an owner.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <utility>

namespace atrous {

class Descriptor {
 public:
  explicit Descriptor(int value = -1) : value_(value) { leave_standard(); }
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Descriptor(Descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }

  int get() const { return value_; }
  bool open() const { return value_ >= 0; }
  void close() {
    if (value_ >= 0) ::close(std::exchange(value_, -1));
  }

 private:
  // A process that was started without standard output gets its number for the next file, and then prints
  // into that. So none of ours is 0, 1 or 2. Where that cannot be had, the descriptor is -1, errno says why.
  void leave_standard() {
    if (value_ < 0 || value_ > STDERR_FILENO) return;
    const int standard = std::exchange(value_, ::fcntl(value_, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
    ::close(standard);
  }

  int value_;
};

}  // namespace atrous
