// Files, whole: read under a cap, written aside and renamed. Every output of atrous goes through OutputFile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "layers/base/public.h"

namespace ATROUS_PUBLIC atrous {

// The bytes of a regular file. Error(io) naming the path and the reason for one that is missing, unreadable,
// a directory, a FIFO or a device; Error(limit) with both numbers for one larger than `cap` bytes.
std::vector<std::byte> read_file(const std::string& path, std::uint64_t cap);

// A regular file open for reading at offsets, or bytes in memory that are read as if they were one. Same
// refusals as read_file, no cap.
class InputFile {
 public:
  explicit InputFile(const std::string& path);
  // The bytes stay the caller's; `name` stands for the path.
  InputFile(std::span<const std::byte> bytes, std::string name);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  std::uint64_t size() const { return size_; }
  const std::string& path() const { return path_; }
  // Fills `out` from `offset`. Error(io) when the file ends before (it may shrink while we read it).
  void read(std::uint64_t offset, std::span<std::byte> out) const;

 private:
  std::string path_;
  int descriptor_ = -1;  // of a file; -1 for bytes in memory
  std::span<const std::byte> bytes_;
  std::uint64_t size_ = 0;
};

// A file that appears whole or not at all: bytes go to a file in the same folder that has no name until
// commit() gives it `path`'s. Without commit() nothing is left of it, not even where the process is killed.
// Where there is a file of that name already, or on a file system that has only files with names, it has a
// temporary one, on its way or from the beginning, which the destructor removes and a kill leaves. Error(io)
// names the path and the system's reason.
class OutputFile {
 public:
  explicit OutputFile(std::string path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void commit();

 private:
  bool link_to(const std::string& name);
  void give_temporary_name();

  std::string path_, temporary_;  // temporary_: empty while the file has no name
  int descriptor_ = -1;
};

void write_file(const std::string& path, std::span<const std::byte> bytes);

}  // namespace atrous
