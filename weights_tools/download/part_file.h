// A file that is being downloaded: it survives a failure, and one process at a time has it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "weights_tools/io/descriptor.h"

namespace atrous {

class PartFile {
 public:
  // Opens or creates `path` and locks it; calls `waiting` once if another process has it, then waits for its
  // turn. Error(io) for what is no regular file, a symbolic link included, or cannot be written.
  PartFile(std::string path, const std::function<void()>& waiting);
  // Lets the next process have it. An empty file goes away.
  ~PartFile();
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

  const std::string& path() const { return path_; }
  std::uint64_t size() const { return size_; }
  void clear();  // to no bytes
  void append(std::span<const std::byte>);
  std::string sha256() const;
  void commit(const std::string& destination);  // on the disk, then renamed

 private:
  std::string path_;
  Descriptor descriptor_;
  std::uint64_t size_ = 0;
};

}  // namespace atrous
