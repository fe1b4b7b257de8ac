// Bytes under a path, for readers that take one. Nothing is written to a disk.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "tests/fuzz/fuzz.h"

namespace atrous::fuzz {

class MemoryFile {
 public:
  explicit MemoryFile(Bytes bytes) : descriptor_(::memfd_create("fuzz", MFD_CLOEXEC)) {
    const bool written =
        descriptor_ >= 0 && ::write(descriptor_, bytes.data(), bytes.size()) == std::ssize(bytes);
    promise(written, "no file in memory of ", bytes.size(), " bytes");
  }
  ~MemoryFile() { ::close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::string path() const { return str_cat("/proc/self/fd/", descriptor_); }

 private:
  int descriptor_;
};

}  // namespace atrous::fuzz
