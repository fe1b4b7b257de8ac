#include "tests/support/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string_view>

namespace atrous::testing {

namespace {

class Descriptor {
 public:
  explicit Descriptor(int value = -1) : value_(value) {}
  ~Descriptor() { close(); }
  Descriptor(Descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }
  int get() const { return value_; }
  void close() {
    if (value_ >= 0) ::close(std::exchange(value_, -1));
  }

 private:
  int value_;
};

struct Pipe {
  Descriptor read, write;
};

[[noreturn]] void fail(const std::string& what) {
  throw std::runtime_error(what + ": " + std::strerror(errno));
}

Pipe make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) fail("pipe");
  return {Descriptor(ends[0]), Descriptor(ends[1])};
}

// Between fork and exec: system calls only.
[[noreturn]] void become(const std::vector<char*>& arguments, const std::vector<char*>& environment,
                         const ProcessOptions& options, int in, int out, int err) {
  // A test runner may ignore SIGPIPE; the program starts with the usual dispositions.
  std::signal(SIGPIPE, SIG_DFL);
  bool fine = options.folder.empty() || ::chdir(options.folder.c_str()) == 0;
  fine = fine && ::dup2(in, STDIN_FILENO) >= 0 && ::dup2(err, STDERR_FILENO) >= 0;
  if (options.close_output)
    ::close(STDOUT_FILENO);
  else if (!options.output_file.empty()) {
    const int file = ::open(options.output_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    fine = fine && file >= 0 && ::dup2(file, STDOUT_FILENO) >= 0 && ::close(file) == 0;
  } else {
    fine = fine && ::dup2(out, STDOUT_FILENO) >= 0;
  }
  if (options.file_size_limit > 0) {
    const rlimit limit{options.file_size_limit, options.file_size_limit};
    std::signal(SIGXFSZ, SIG_IGN);  // write() fails instead
    fine = fine && ::setrlimit(RLIMIT_FSIZE, &limit) == 0;
  }
  if (fine) ::execve(arguments[0], arguments.data(), environment.data());
  ::_exit(127);
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (std::string& s : strings) out.push_back(s.data());
  out.push_back(nullptr);
  return out;
}

std::vector<std::string> whole_environment(const ProcessOptions& options) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry; ++entry) {
    const std::string_view e = *entry;
    const bool replaced = std::ranges::any_of(
        options.environment, [&](const auto& added) { return e.starts_with(added.first + '='); });
    if (!replaced) all.emplace_back(e);
  }
  for (const auto& [name, value] : options.environment) all.push_back(name + '=' + value);
  return all;
}

// Reads what is there; closes at the end.
void drain(Descriptor& from, std::string& into) {
  std::array<char, 65536> chunk;
  const ssize_t got = ::read(from.get(), chunk.data(), chunk.size());
  if (got > 0)
    into.append(chunk.data(), static_cast<std::size_t>(got));
  else if (got == 0 || (errno != EINTR && errno != EAGAIN))
    from.close();
}

// Writes what the pipe takes; closes at the end or when nobody reads any more.
void feed(Descriptor& to, std::string_view& bytes) {
  const ssize_t put = bytes.empty() ? 0 : ::write(to.get(), bytes.data(), bytes.size());
  if (put > 0) bytes.remove_prefix(static_cast<std::size_t>(put));
  if (bytes.empty() || (put < 0 && errno != EINTR && errno != EAGAIN)) to.close();
}

// A write to a program that has gone must be an error, not this process's death.
class IgnoreBrokenPipes {
 public:
  IgnoreBrokenPipes() : before_(std::signal(SIGPIPE, SIG_IGN)) {}
  ~IgnoreBrokenPipes() { std::signal(SIGPIPE, before_); }
  IgnoreBrokenPipes(const IgnoreBrokenPipes&) = delete;
  IgnoreBrokenPipes& operator=(const IgnoreBrokenPipes&) = delete;

 private:
  void (*before_)(int);
};

}  // namespace

ProcessResult run_process(const std::vector<std::string>& arguments, const ProcessOptions& options) {
  const IgnoreBrokenPipes ignore;
  std::vector<std::string> argument_strings = arguments, environment_strings = whole_environment(options);
  const auto argument_pointers = pointers(argument_strings);
  const auto environment_pointers = pointers(environment_strings);
  if (::access(arguments.at(0).c_str(), X_OK) != 0) fail(arguments[0]);

  Pipe in = make_pipe(), out = make_pipe(), err = make_pipe();
  const pid_t child = ::fork();
  if (child < 0) fail("fork");
  if (child == 0)
    become(argument_pointers, environment_pointers, options, in.read.get(), out.write.get(), err.write.get());
  in.read.close();
  out.write.close();
  err.write.close();
  ::fcntl(in.write.get(), F_SETFL, O_NONBLOCK);

  ProcessResult result;
  std::string_view input = options.input;
  int signal_at_output = options.signal_at_output, signal_at_errors = options.signal_at_errors;
  const auto send = [child](int& signal, const std::string& after) {
    if (signal != 0 && !after.empty()) ::kill(child, std::exchange(signal, 0));
  };
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::seconds(options.timeout_seconds);
  while (out.read.get() >= 0 || err.read.get() >= 0) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) {
      result.timed_out = true;
      ::kill(child, SIGKILL);
      break;
    }
    // poll() skips descriptors of -1.
    std::array<pollfd, 3> waits{pollfd{out.read.get(), POLLIN, 0}, pollfd{err.read.get(), POLLIN, 0},
                                pollfd{in.write.get(), POLLOUT, 0}};
    if (options.kill_when && options.kill_when()) {
      ::kill(child, SIGKILL);
      break;
    }
    const int step = static_cast<int>(options.kill_when ? std::min<std::int64_t>(left, 10) : left);
    if (::poll(waits.data(), waits.size(), step) <= 0) continue;
    if (waits[0].revents) drain(out.read, result.output);
    if (waits[1].revents) drain(err.read, result.errors);
    send(signal_at_output, result.output);
    send(signal_at_errors, result.errors);
    if (options.close_after > 0 && result.output.size() >= options.close_after) out.read.close();
    if (waits[2].revents) feed(in.write, input);
  }

  int status = 0;
  rusage usage{};
  while (::wait4(child, &status, 0, &usage) < 0 && errno == EINTR) {
  }
  result.peak_kilobytes = usage.ru_maxrss;
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
  return result;
}

}  // namespace atrous::testing
