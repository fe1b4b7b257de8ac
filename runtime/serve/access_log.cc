#include "runtime/serve/access_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <utility>

#include "layers/base/error.h"
#include "layers/base/visible_text.h"

namespace atrous::serve {

namespace {

// Owner and group read it: addresses are people's.
constexpr mode_t log_rights = 0640;

int open_log(const std::string& path) {
  return open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, log_rights);
}

void add_word(std::string& line, std::string_view word) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  if (word.empty()) line += '-';
  for (const char c : word) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte > 0x20 && byte < 0x7f && std::string_view("\"\\%").find(c) == std::string_view::npos) {
      line += c;
    } else {
      line += '%';
      line += digits[byte >> 4];
      line += digits[byte & 15];
    }
  }
  line += ' ';
}

}  // namespace

std::string log_line(const Served& request, std::chrono::system_clock::time_point when) {
  const auto milliseconds =
      std::chrono::duration_cast<std::chrono::milliseconds>(when.time_since_epoch()).count();
  const std::time_t whole = milliseconds / 1000;
  std::tm utc{};
  gmtime_r(&whole, &utc);
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ ", utc.tm_year + 1900,
                utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                static_cast<int>(milliseconds % 1000));
  std::string line = text.data();
  add_word(line, request.address);
  add_word(line, request.method);
  add_word(line, request.path);
  add_word(line, request.status > 0 ? std::to_string(request.status) : "");
  const auto thousandths = static_cast<long long>(request.seconds * 1000 + 0.5);
  std::snprintf(text.data(), text.size(), "%llu %lld.%03lld\n",
                static_cast<unsigned long long>(request.bytes), thousandths / 1000, thousandths % 1000);
  return line + text.data();
}

AccessLog::AccessLog(std::string path) : path_(std::move(path)) {
  descriptor_ = path_ == "-" ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3) : open_log(path_);
  if (descriptor_ < 0)
    fail(ErrorCode::io, path_ == "-" ? "standard output" : visible(path_), ": ", std::strerror(errno));
}

AccessLog::~AccessLog() { close(descriptor_); }

void AccessLog::write(const Served& request) noexcept {
  try {
    const std::string line = log_line(request, std::chrono::system_clock::now());
    ssize_t put;
    do {
      put = ::write(descriptor_, line.data(), line.size());
    } while (put < 0 && errno == EINTR);
    if (put != static_cast<ssize_t>(line.size())) ++lost_;
  } catch (...) {
    ++lost_;
  }
}

void AccessLog::look_after() noexcept {
  if (path_ == "-") return;
  struct stat named {
  }, own{};
  const bool there = stat(path_.c_str(), &named) == 0;
  if (fstat(descriptor_, &own) != 0 || (there && named.st_ino == own.st_ino && named.st_dev == own.st_dev))
    return;
  const int anew = open_log(path_);
  if (anew < 0) return;  // lines go on into the file that was moved
  close(std::exchange(descriptor_, anew));
}

}  // namespace atrous::serve
