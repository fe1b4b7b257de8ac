#include "weights_tools/io/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

#include "layers/base/error.h"

namespace atrous {

namespace {

// Linux moves at most about 2 GiB a call; smaller pieces cost nothing.
constexpr std::size_t piece = std::size_t{1} << 30;

[[noreturn]] void fail_errno(const std::string& path, std::string_view action, int error) {
  fail(ErrorCode::io, path, ": cannot ", action, ": ", std::generic_category().message(error));
}

// What a path names, if it is not a regular file; empty for a regular one.
std::string_view unusual_kind(mode_t mode) {
  if (S_ISREG(mode)) return {};
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  return "not a regular file";
}

void refuse_unusual(const std::string& path, mode_t mode) {
  if (const auto kind = unusual_kind(mode); !kind.empty())
    fail(ErrorCode::io, path, ": is ", kind, ", where a regular file is expected");
}

// A symbolic link stays a link: what it points to is replaced.
std::string resolve_link(const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::is_symlink(path, ignored)) return path;
  const auto target = std::filesystem::canonical(path, ignored);
  return target.empty() ? path : target.string();
}

// Ends with a slash; empty for the working folder.
std::string folder_of(const std::string& path) { return path.substr(0, path.rfind('/') + 1); }

// A name in the folder of `path`, short whatever the length of `path`'s own.
std::string temporary_name(const std::string& path) {
  static std::atomic<unsigned> counter{0};
  return str_cat(folder_of(path), ".atrous-", ::getpid(), "-", counter.fetch_add(1), ".tmp");
}

// Under this name the system knows a file that has none. No allocation: its caller holds an open descriptor.
std::array<char, 32> name_in_proc(int descriptor) {
  std::array<char, 32> name{};
  std::snprintf(name.data(), name.size(), "/proc/self/fd/%d", descriptor);
  return name;
}

// A file without a name in the folder of `path`, which is gone when the process is, however that ends. -1
// where there can be none, for whatever reason: the attempt to create a named one then says why, or succeeds.
int open_unnamed(const std::string& path) {
  const std::string folder = folder_of(path);
  const int descriptor =
      ::open(folder.empty() ? "." : folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
  if (descriptor < 0 || ::access(name_in_proc(descriptor).data(), F_OK) == 0) return descriptor;
  ::close(descriptor);  // without /proc it could never be given a name
  return -1;
}

}  // namespace

InputFile::InputFile(const std::string& path) try : path_(path) {
  if (path.empty()) fail(ErrorCode::io, "cannot open a file with an empty name");
  // O_NONBLOCK: opening a FIFO for reading would otherwise wait for a writer, perhaps forever.
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (descriptor_ < 0) fail_errno(path, "open for reading", errno);
  try {
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0) fail_errno(path, "examine", errno);
    refuse_unusual(path, status.st_mode);
    size_ = static_cast<std::uint64_t>(status.st_size);
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
} catch (...) {
  rethrow_as_error();
}

InputFile::InputFile(std::span<const std::byte> bytes, std::string name) try
    : path_(std::move(name)), bytes_(bytes), size_(bytes.size()) {
} catch (...) {
  rethrow_as_error();
}

InputFile::~InputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void InputFile::read(std::uint64_t offset, std::span<std::byte> out) const try {
  const std::uint64_t wanted = out.size();
  if (offset > size_ || wanted > size_ - offset)
    fail(ErrorCode::io, path_, ": ", wanted, " bytes wanted at offset ", offset, ", but the file has ",
         size_);
  if (descriptor_ < 0) {
    std::ranges::copy(bytes_.subspan(static_cast<std::size_t>(offset), out.size()), out.begin());
    return;
  }
  while (!out.empty()) {
    const ssize_t got =
        ::pread(descriptor_, out.data(), std::min(out.size(), piece), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_errno(path_, "read", errno);
    if (got == 0) fail(ErrorCode::io, path_, ": ended at byte ", offset, " while being read, of ", size_);
    out = out.subspan(static_cast<std::size_t>(got));
    offset += static_cast<std::uint64_t>(got);
  }
} catch (...) {
  rethrow_as_error();
}

std::vector<std::byte> read_file(const std::string& path, std::uint64_t cap) try {
  const InputFile file(path);
  if (file.size() > cap)
    fail(ErrorCode::limit, path, ": has ", file.size(), " bytes, more than the limit of ", cap);
  std::vector<std::byte> bytes(static_cast<std::size_t>(file.size()));
  file.read(0, bytes);
  return bytes;
} catch (...) {
  rethrow_as_error();
}

OutputFile::OutputFile(std::string path) try : path_(std::move(path)) {
  if (path_.empty()) fail(ErrorCode::io, "cannot write a file with an empty name");
  path_ = resolve_link(path_);
  struct stat status {};
  if (::stat(path_.c_str(), &status) == 0) refuse_unusual(path_, status.st_mode);
  descriptor_ = open_unnamed(path_);
  if (descriptor_ >= 0) return;
  do {
    temporary_ = temporary_name(path_);
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (descriptor_ < 0 && errno == EEXIST);
  if (descriptor_ < 0) fail_errno(path_, "create a file beside it", errno);
} catch (...) {
  rethrow_as_error();
}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void OutputFile::write(std::span<const std::byte> bytes) try {
  if (descriptor_ < 0) fail(ErrorCode::invalid_argument, path_, ": written to after it was committed");
  while (!bytes.empty()) {
    const ssize_t put = ::write(descriptor_, bytes.data(), std::min(bytes.size(), piece));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail_errno(path_, "write", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
} catch (...) {
  rethrow_as_error();
}

void OutputFile::commit() try {
  if (descriptor_ < 0) fail(ErrorCode::invalid_argument, path_, ": committed twice");
  const bool in_place = temporary_.empty() && link_to(path_);
  if (!in_place && temporary_.empty()) give_temporary_name();
  // Network file systems report a full disk only here.
  if (::close(std::exchange(descriptor_, -1)) != 0) {
    const int error = errno;
    if (in_place) ::unlink(path_.c_str());
    fail_errno(path_, "close", error);
  }
  if (!in_place && ::rename(temporary_.c_str(), path_.c_str()) != 0) fail_errno(path_, "replace", errno);
  temporary_.clear();
} catch (...) {
  rethrow_as_error();
}

// Gives the file without a name this one; false where there is a file of that name.
bool OutputFile::link_to(const std::string& name) {
  if (::linkat(AT_FDCWD, name_in_proc(descriptor_).data(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) == 0)
    return true;
  if (errno != EEXIST) fail_errno(path_, "create a file beside it", errno);
  return false;
}

// A link never replaces a file, only a rename does; so on its way to the place of another a file without a
// name takes a temporary one.
void OutputFile::give_temporary_name() {
  std::string name;
  do {
    name = temporary_name(path_);
  } while (!link_to(name));
  temporary_ = std::move(name);
}

void write_file(const std::string& path, std::span<const std::byte> bytes) try {
  OutputFile file(path);
  file.write(bytes);
  file.commit();
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
