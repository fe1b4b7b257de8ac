#include "weights_tools/download/part_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

#include "layers/base/error.h"
#include "weights_tools/io/sha256.h"

namespace atrous {

namespace {

[[noreturn]] void fail_errno(const std::string& path, std::string_view action, int error) {
  fail(ErrorCode::io, path, ": cannot ", action, ": ", std::generic_category().message(error));
}

Descriptor open_part(const std::string& path) {
  // O_NONBLOCK: a FIFO in its place must not keep us waiting.
  Descriptor descriptor(
      ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_APPEND, 0666));
  if (!descriptor.open()) fail_errno(path, "create", errno);
  return descriptor;
}

// Of a regular file.
struct stat status_of(const Descriptor& descriptor, const std::string& path) {
  struct stat status {};
  if (::fstat(descriptor.get(), &status) != 0) fail_errno(path, "examine", errno);
  if (!S_ISREG(status.st_mode)) fail(ErrorCode::io, path, ": is not a regular file");
  return status;
}

void lock(int descriptor, const std::string& path, const std::function<void()>& waiting) {
  if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) return;
  if (errno == EWOULDBLOCK && waiting) waiting();
  while (::flock(descriptor, LOCK_EX) != 0)
    if (errno != EINTR) fail_errno(path, "lock", errno);
}

// Whether `path` still names the open file: the process that had it before may have renamed or removed it.
bool still_named(const struct stat& opened, const std::string& path) {
  struct stat named {};
  return ::lstat(path.c_str(), &named) == 0 && named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
}

}  // namespace

PartFile::PartFile(std::string path, const std::function<void()>& waiting) : path_(std::move(path)) {
  for (bool first = true;; first = false) {
    Descriptor opened = open_part(path_);
    status_of(opened, path_);
    lock(opened.get(), path_, first ? waiting : nullptr);
    const struct stat status = status_of(opened, path_);  // it may have grown while we waited
    if (!still_named(status, path_)) continue;
    size_ = static_cast<std::uint64_t>(status.st_size);
    descriptor_ = std::move(opened);
    return;
  }
}

PartFile::~PartFile() {
  if (descriptor_.open() && size_ == 0) ::unlink(path_.c_str());
}

void PartFile::clear() {
  if (::ftruncate(descriptor_.get(), 0) != 0) fail_errno(path_, "truncate", errno);
  size_ = 0;
}

void PartFile::append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(descriptor_.get(), bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail_errno(path_, "write", errno);
    size_ += static_cast<std::uint64_t>(put);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
}

std::string PartFile::sha256() const { return sha256_of_file(path_); }

void PartFile::commit(const std::string& destination) {
  if (::fsync(descriptor_.get()) != 0) fail_errno(path_, "write", errno);
  if (::rename(path_.c_str(), destination.c_str()) != 0) fail_errno(destination, "replace", errno);
  descriptor_.close();
}

}  // namespace atrous
