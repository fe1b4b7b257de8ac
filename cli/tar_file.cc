#include "cli/tar_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

#include "layers/base/error.h"

namespace atrous::cli {

namespace {

constexpr std::size_t tar_block = 512;
using TarHeader = std::array<char, tar_block>;

[[noreturn]] void fail_tar(const std::string& path, std::string_view action) {
  fail(ErrorCode::io, path, ": cannot ", action, ": ", std::generic_category().message(errno));
}

// Fields as POSIX.1-1988 has them: name 100, mode 8, uid 8, gid 8, size 12, mtime 12, checksum 8, type 1,
// link 100, magic 8, owner 32, group 32, device 16, prefix 155.
TarHeader tar_header(std::string_view name, std::string_view prefix, char type, std::size_t size) {
  TarHeader h{};
  const auto put = [&h](std::size_t at, std::string_view text) {
    std::ranges::copy(text, h.begin() + static_cast<std::ptrdiff_t>(at));
  };
  char digits[16];
  std::snprintf(digits, sizeof digits, "%011llo", static_cast<unsigned long long>(size));
  put(0, name);
  put(100, "0000644");
  put(108, "0000000");
  put(116, "0000000");
  put(124, digits);
  put(136, "00000000000");
  put(148, "        ");
  h[156] = type;
  put(257, std::string_view("ustar\00000", 8));
  put(345, prefix);
  unsigned sum = 0;
  for (const char c : h) sum += static_cast<unsigned char>(c);
  std::snprintf(digits, sizeof digits, "%06o", sum);
  put(148, std::string_view(digits, 7));
  return h;
}

// Where a name is cut into the header's prefix and name; npos where it does not fit.
std::size_t ustar_cut(const std::string& name) {
  if (name.size() <= 100) return 0;
  const std::size_t slash = name.find('/', name.size() - 101);
  return slash <= 155 && slash > 0 && slash + 1 < name.size() ? slash : name.npos;
}

// "30 path=some/name\n", whose number counts itself.
std::string pax_path(const std::string& name) {
  const std::size_t rest = std::string_view(" path=\n").size() + name.size();
  std::size_t length = rest + 1;
  while (length != rest + std::to_string(length).size()) ++length;
  return str_cat(length, " path=", name, "\n");
}

void append(std::vector<std::byte>& out, const TarHeader& header, std::span<const std::byte> content) {
  const auto bytes = std::as_bytes(std::span(header));
  out.insert(out.end(), bytes.begin(), bytes.end());
  out.insert(out.end(), content.begin(), content.end());
  out.resize((out.size() + tar_block - 1) / tar_block * tar_block);
}

}  // namespace

TarFile::TarFile(std::string path, std::uint64_t keep)
    : path_(std::move(path)), part_(path_ + ".part"), size_(keep) {
  struct stat status {};
  if (keep > 0 && ::stat(part_.c_str(), &status) != 0 && ::rename(path_.c_str(), part_.c_str()) != 0)
    fail_tar(path_, "go on with it");
  descriptor_ = ::open(part_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail_tar(part_, "open for writing");
  const bool known = ::fstat(descriptor_, &status) == 0;
  if (!known || static_cast<std::uint64_t>(status.st_size) < keep ||
      ::ftruncate(descriptor_, static_cast<off_t>(keep)) != 0) {
    const int error = errno;
    ::close(descriptor_);
    errno = error;
    if (known && static_cast<std::uint64_t>(status.st_size) < keep)
      fail(ErrorCode::io, part_, ": has ", status.st_size, " bytes, expected at least the ", keep,
           " that the manifest says are done");
    fail_tar(part_, "shorten");
  }
}

TarFile::~TarFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void TarFile::add(const std::string& name, std::span<const std::byte> content) {
  std::vector<std::byte> all;
  const std::size_t cut = ustar_cut(name);
  const std::string_view whole = name;
  if (cut == name.npos) {
    const std::string path = pax_path(name);
    append(all, tar_header("pax", "", 'x', path.size()), std::as_bytes(std::span(path)));
    append(all, tar_header(whole.substr(name.size() - 100), "", '0', content.size()), content);
  } else {
    append(all, tar_header(whole.substr(cut > 0 ? cut + 1 : 0), whole.substr(0, cut), '0', content.size()),
           content);
  }
  write(all);
}

void TarFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(descriptor_, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail_tar(part_, "write");
    size_ += static_cast<std::uint64_t>(put);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
}

void TarFile::sync() {
  if (::fdatasync(descriptor_) != 0) fail_tar(part_, "write");
}

void TarFile::finish() {
  write(std::vector<std::byte>(2 * tar_block));
  sync();
  if (::close(std::exchange(descriptor_, -1)) != 0) fail_tar(part_, "close");
  if (::rename(part_.c_str(), path_.c_str()) != 0) fail_tar(path_, "replace");
}

}  // namespace atrous::cli
