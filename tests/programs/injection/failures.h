// Failures on demand: in this program every allocation and every file call of the library goes through
// functions that can be told to fail. operator new is replaced; malloc and the system calls are wrapped by
// the linker (--wrap), so the library itself knows nothing of it.
#pragma once

#include <cstdint>

namespace atrous::injection {

enum class Kind { allocation, file_call };

// Whether the failure passes: only the n-th call fails, or all from there on.
enum class Lasting { no, yes };

// From its construction to its end, the n-th call of the kind fails, in whichever thread: allocations as when
// memory has run out, file calls with EIO.
class Failing {
 public:
  Failing(Kind, std::int64_t n, Lasting = Lasting::no);
  ~Failing();
  Failing(const Failing&) = delete;
  Failing& operator=(const Failing&) = delete;
  std::int64_t calls() const;  // of the kind so far, the failed one too
  bool happened() const { return calls() >= n_; }

 private:
  Kind kind_;
  std::int64_t n_;
};

// The host's own steps between those of the library: no call of this thread fails or counts while it lives.
class Unfailing {
 public:
  Unfailing();
  ~Unfailing();
  Unfailing(const Unfailing&) = delete;
  Unfailing& operator=(const Unfailing&) = delete;
};
template <class Step>
auto own(Step&& step) {
  const Unfailing unfailing;
  return step();
}

// What a file system may do, short of failing; for as long as the object lives.
struct FileSystem {
  bool unnamed_files = true;  // O_TMPFILE
  bool proc = true;           // /proc/self/fd
  bool whole_writes = true;   // no: each write takes a few bytes, every other one is interrupted
};
class Pretend {
 public:
  explicit Pretend(const FileSystem&);
  ~Pretend();
  Pretend(const Pretend&) = delete;
  Pretend& operator=(const Pretend&) = delete;
};

std::int64_t live_allocations();  // made by this program and not yet freed

}  // namespace atrous::injection
