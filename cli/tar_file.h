// A tar that grows: the results of many pictures in one file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace atrous::cli {

// Entries as POSIX.1-2001 has them (pax; ustar where a name fits into it), of time 0 and owner 0, so that the
// same results are the same bytes. While it grows the file is called PATH.part. Error(io) names it and the
// system's reason.
class TarFile {
 public:
  // Goes on behind the first `keep` bytes of an earlier run's, whole or not; 0 begins anew. Error(io) for one
  // that has fewer.
  TarFile(std::string path, std::uint64_t keep);
  ~TarFile();
  TarFile(const TarFile&) = delete;
  TarFile& operator=(const TarFile&) = delete;

  void add(const std::string& name, std::span<const std::byte> content);
  std::uint64_t size() const { return size_; }  // so far
  void sync();                                  // to the disk
  void finish();                                // its end, and its name

 private:
  void write(std::span<const std::byte>);

  std::string path_, part_;
  std::uint64_t size_ = 0;
  int descriptor_ = -1;
};

}  // namespace atrous::cli
