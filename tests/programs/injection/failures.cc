#include "tests/programs/injection/failures.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>

namespace atrous::injection {

namespace {

constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();

thread_local int unfailing = 0;

// How many calls are left until one fails.
struct Countdown {
  std::atomic<std::int64_t> left{never};
  std::atomic<bool> lasting{false};

  bool fails() {
    if (left == never || unfailing > 0) return false;
    const std::int64_t now = left.fetch_sub(1);
    return now == 1 || (now < 1 && lasting);
  }
};

// Constant-initialised: allocations happen before any constructor has run.
constinit Countdown allocations, file_calls;
constinit std::atomic<std::int64_t> live{0};
constinit FileSystem pretended;
constinit std::atomic<unsigned> writes{0};

Countdown& countdown(Kind kind) { return kind == Kind::allocation ? allocations : file_calls; }

bool file_call_fails() {
  if (!file_calls.fails()) return false;
  errno = EIO;
  return true;
}

bool lies_in_proc(const char* path) { return std::strncmp(path, "/proc/self/fd/", 14) == 0; }

}  // namespace

Failing::Failing(Kind kind, std::int64_t n, Lasting lasting) : kind_(kind), n_(n) {
  countdown(kind).lasting = lasting == Lasting::yes;
  countdown(kind).left = n;
}
Failing::~Failing() { countdown(kind_).left = never; }
std::int64_t Failing::calls() const { return n_ - countdown(kind_).left; }

Unfailing::Unfailing() { ++unfailing; }
Unfailing::~Unfailing() { --unfailing; }

Pretend::Pretend(const FileSystem& system) { pretended = system; }
Pretend::~Pretend() { pretended = {}; }

std::int64_t live_allocations() { return live; }

}  // namespace atrous::injection

using namespace atrous::injection;

// ---- memory: each returns null when it is this call's turn to fail

extern "C" {
void* __real_malloc(std::size_t);
void* __real_calloc(std::size_t, std::size_t);
void* __real_realloc(void*, std::size_t);
void* __real_aligned_alloc(std::size_t, std::size_t);
void __real_free(void*);

static void* counted(void* p) {
  if (p) ++live;
  return p;
}

void* __wrap_malloc(std::size_t bytes) {
  return allocations.fails() ? nullptr : counted(__real_malloc(bytes));
}
void* __wrap_calloc(std::size_t count, std::size_t bytes) {
  return allocations.fails() ? nullptr : counted(__real_calloc(count, bytes));
}
void* __wrap_realloc(void* p, std::size_t bytes) {
  if (allocations.fails()) return nullptr;
  void* const moved = __real_realloc(p, bytes);
  if (!p && moved) ++live;
  return moved;
}
void* __wrap_aligned_alloc(std::size_t alignment, std::size_t bytes) {
  return allocations.fails() ? nullptr : counted(__real_aligned_alloc(alignment, bytes));
}
void __wrap_free(void* p) {
  if (p) --live;
  __real_free(p);
}

// ---- files

int __real_open(const char*, int, ...);
int __real_close(int);
ssize_t __real_write(int, const void*, std::size_t);
ssize_t __real_pread(int, void*, std::size_t, off_t);
int __real_fstat(int, struct stat*);
int __real_access(const char*, int);
int __real_rename(const char*, const char*);
int __real_linkat(int, const char*, int, const char*, int);

int __wrap_open(const char* path, int flags, ...) {
  std::va_list arguments;
  va_start(arguments, flags);
  const bool creates = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
  const unsigned mode = creates ? va_arg(arguments, unsigned) : 0;
  va_end(arguments);
  if (file_call_fails()) return -1;
  if (!pretended.unnamed_files && (flags & O_TMPFILE) == O_TMPFILE) {
    errno = EOPNOTSUPP;
    return -1;
  }
  return __real_open(path, flags, mode);
}
int __wrap_close(int descriptor) {
  const int closed = __real_close(descriptor);  // the descriptor is gone, whatever close() says
  return file_call_fails() ? -1 : closed;
}
ssize_t __wrap_write(int descriptor, const void* bytes, std::size_t count) {
  if (file_call_fails()) return -1;
  if (pretended.whole_writes) return __real_write(descriptor, bytes, count);
  if (++writes % 2 == 0) {
    errno = EINTR;
    return -1;
  }
  return __real_write(descriptor, bytes, count < 97 ? count : 97);
}
ssize_t __wrap_pread(int descriptor, void* bytes, std::size_t count, off_t offset) {
  return file_call_fails() ? -1 : __real_pread(descriptor, bytes, count, offset);
}
int __wrap_fstat(int descriptor, struct stat* status) {
  return file_call_fails() ? -1 : __real_fstat(descriptor, status);
}
int __wrap_access(const char* path, int mode) {
  if (file_call_fails()) return -1;
  if (!pretended.proc && lies_in_proc(path)) {
    errno = ENOENT;
    return -1;
  }
  return __real_access(path, mode);
}
int __wrap_rename(const char* from, const char* to) {
  return file_call_fails() ? -1 : __real_rename(from, to);
}
int __wrap_linkat(int from_folder, const char* from, int to_folder, const char* to, int flags) {
  return file_call_fails() ? -1 : __real_linkat(from_folder, from, to_folder, to, flags);
}
}

// ---- operator new in all its forms: under a sanitizer those left out would not end here

namespace {

void* or_null(std::size_t bytes) { return __wrap_malloc(bytes ? bytes : 1); }
void* or_null(std::size_t bytes, std::align_val_t alignment) {
  const auto a = static_cast<std::size_t>(alignment);
  return __wrap_aligned_alloc(a, (bytes + a - 1) / a * a);
}
template <class... Arguments>
void* or_throw(Arguments... arguments) {
  if (void* p = or_null(arguments...)) return p;
  throw std::bad_alloc();
}

}  // namespace

using Size = std::size_t;
using Align = std::align_val_t;
using Nothrow = std::nothrow_t;

void* operator new(Size n) { return or_throw(n); }
void* operator new[](Size n) { return or_throw(n); }
void* operator new(Size n, Align a) { return or_throw(n, a); }
void* operator new[](Size n, Align a) { return or_throw(n, a); }
void* operator new(Size n, const Nothrow&) noexcept { return or_null(n); }
void* operator new[](Size n, const Nothrow&) noexcept { return or_null(n); }
void* operator new(Size n, Align a, const Nothrow&) noexcept { return or_null(n, a); }
void* operator new[](Size n, Align a, const Nothrow&) noexcept { return or_null(n, a); }

void operator delete(void* p) noexcept { __wrap_free(p); }
void operator delete[](void* p) noexcept { __wrap_free(p); }
void operator delete(void* p, Size) noexcept { __wrap_free(p); }
void operator delete[](void* p, Size) noexcept { __wrap_free(p); }
void operator delete(void* p, Align) noexcept { __wrap_free(p); }
void operator delete[](void* p, Align) noexcept { __wrap_free(p); }
void operator delete(void* p, Size, Align) noexcept { __wrap_free(p); }
void operator delete[](void* p, Size, Align) noexcept { __wrap_free(p); }
void operator delete(void* p, const Nothrow&) noexcept { __wrap_free(p); }
void operator delete[](void* p, const Nothrow&) noexcept { __wrap_free(p); }
void operator delete(void* p, Align, const Nothrow&) noexcept { __wrap_free(p); }
void operator delete[](void* p, Align, const Nothrow&) noexcept { __wrap_free(p); }
