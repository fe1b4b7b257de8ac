#include "runtime/serve/access_log.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <deque>
#include <mutex>
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

std::string time_in_words(std::chrono::system_clock::time_point when) {
  const auto milliseconds =
      std::chrono::duration_cast<std::chrono::milliseconds>(when.time_since_epoch()).count();
  const std::time_t whole = milliseconds / 1000;
  std::tm utc{};
  gmtime_r(&whole, &utc);
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ ", utc.tm_year + 1900,
                utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                static_cast<int>(milliseconds % 1000));
  return text.data();
}

// A part of a line that was written before an error stays.
bool write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = ::write(descriptor, text.data(), text.size());
    if (put > 0) {
      text.remove_prefix(static_cast<std::size_t>(put));
    } else if (put < 0 && errno == EAGAIN) {  // whoever has the pipe too made it non-blocking
      pollfd ready{.fd = descriptor, .events = POLLOUT, .revents = 0};
      poll(&ready, 1, -1);
    } else if (put == 0 || errno != EINTR) {
      return false;
    }
  }
  return true;
}

constexpr std::chrono::milliseconds grace(1000);

}  // namespace

std::string log_line(const Served& request, std::chrono::system_clock::time_point when) {
  std::string line = time_in_words(when);
  add_word(line, request.address);
  add_word(line, request.method);
  add_word(line, request.path);
  add_word(line, request.status > 0 ? std::to_string(request.status) : "");
  const auto thousandths = static_cast<long long>(request.seconds * 1000 + 0.5);
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%llu %lld.%03lld\n",
                static_cast<unsigned long long>(request.bytes), thousandths / 1000, thousandths % 1000);
  return line + text.data();
}

struct AccessLog::State {
  // A line, or where it is empty the wish to look after the file.
  struct Entry {
    std::string line;
    std::uint64_t lost_before = 0;  // lines for which there was no room between the entry before and this one
  };

  const std::string path;
  const std::size_t most_waiting;
  int descriptor = -1;  // the thread's
  std::atomic<std::uint64_t> lost = 0;

  std::mutex mutex;
  std::condition_variable given, written;
  std::deque<Entry> waiting;
  std::size_t waiting_bytes = 0;
  std::uint64_t lost_before = 0;  // the next entry's
  bool writing = false, ending = false;

  State(std::string file, std::size_t most) : path(std::move(file)), most_waiting(most) {
    descriptor = path == "-" ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3) : open_log(path);
    if (descriptor < 0)
      fail(ErrorCode::io, path == "-" ? "standard output" : visible(path), ": ", std::strerror(errno));
  }
  ~State() { close(descriptor); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  static std::size_t bytes_of(const Entry& entry) { return sizeof entry + entry.line.size(); }

  // False where there is no room.
  bool push(std::string line) {
    {
      const std::lock_guard lock(mutex);
      Entry entry{std::move(line), lost_before};
      const std::size_t bytes = bytes_of(entry);
      if (waiting_bytes + bytes > most_waiting) return false;
      waiting.push_back(std::move(entry));
      waiting_bytes += bytes;
      lost_before = 0;
    }
    given.notify_one();
    return true;
  }

  void lose() noexcept {
    ++lost;
    const std::lock_guard lock(mutex);
    ++lost_before;
  }

  void look_after() {
    if (path == "-") return;
    struct stat named {
    }, own{};
    const bool there = stat(path.c_str(), &named) == 0;
    if (fstat(descriptor, &own) != 0 || (there && named.st_ino == own.st_ino && named.st_dev == own.st_dev))
      return;
    const int anew = open_log(path);
    if (anew < 0) return;  // lines go on into the file that was moved
    close(std::exchange(descriptor, anew));
  }

  // The thread's work, until the log ends.
  void write_lines() {
    std::uint64_t unsaid = 0;  // lines lost
    std::unique_lock lock(mutex);
    while (true) {
      given.wait(lock, [&] { return ending || !waiting.empty(); });
      if (waiting.empty()) return;
      const Entry entry = std::move(waiting.front());
      waiting.pop_front();
      waiting_bytes -= bytes_of(entry);
      writing = true;
      lock.unlock();
      unsaid += entry.lost_before;
      if (entry.line.empty()) look_after();
      if (unsaid > 0 && said(unsaid)) unsaid = 0;
      if (!write_all(descriptor, entry.line)) {
        ++lost;
        ++unsaid;
      }
      lock.lock();
      writing = false;
      if (waiting.empty()) written.notify_all();
    }
  }

  bool said(std::uint64_t lines) noexcept {
    try {
      return write_all(descriptor, str_cat("# ", time_in_words(std::chrono::system_clock::now()), lines,
                                           lines == 1 ? " line lost\n" : " lines lost\n"));
    } catch (...) {
      return false;
    }
  }
};

AccessLog::AccessLog(std::string path, std::size_t most_waiting)
    : state_(std::make_shared<State>(std::move(path), most_waiting)),
      thread_([state = state_] { state->write_lines(); }) {}

AccessLog::~AccessLog() {
  const bool written = flush(grace);
  {
    const std::lock_guard lock(state_->mutex);
    state_->ending = true;
    state_->waiting.clear();
  }
  state_->given.notify_one();
  if (written)
    thread_.join();
  else
    thread_.detach();
}

void AccessLog::write(const Served& request) noexcept {
  try {
    if (state_->push(log_line(request, std::chrono::system_clock::now()))) return;
  } catch (...) {
  }
  state_->lose();
}

std::uint64_t AccessLog::lost() const noexcept { return state_->lost; }

void AccessLog::look_after() noexcept {
  try {
    state_->push({});
  } catch (...) {
  }
}

bool AccessLog::flush(std::chrono::milliseconds at_most) noexcept {
  std::unique_lock lock(state_->mutex);
  return state_->written.wait_for(lock, at_most, [&] { return state_->waiting.empty() && !state_->writing; });
}

}  // namespace atrous::serve
