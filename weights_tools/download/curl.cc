#include "weights_tools/download/curl.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <system_error>
#include <utility>
#include <vector>

#include "layers/base/error.h"
#include "weights_tools/io/clean_text.h"
#include "weights_tools/io/descriptor.h"

namespace atrous {

namespace {

[[noreturn]] void fail_errno(std::string_view what, int error) {
  fail(ErrorCode::io, what, ": ", std::generic_category().message(error));
}

struct Pipe {
  Descriptor read, write;
  Pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) fail_errno("cannot make a pipe", errno);
    read = Descriptor(ends[0]);
    write = Descriptor(ends[1]);
    if (!read.open() || !write.open()) fail_errno("cannot make a pipe", errno);
  }
};

std::vector<std::string> arguments_for(const CurlRequest& request) {
  // -q has to come first: no configuration file of the user's may add or change options.
  const std::string protocols = request.url.starts_with("https://") ? "=https" : "=http,https";
  std::vector<std::string> arguments{
      request.program, "-q", "--silent", "--show-error", "--globoff", "--no-buffer",
      // Heads come before the body in the same stream, so that they are known when it begins.
      "-i", "--suppress-connect-headers", "--location", "--max-redirs", "10", "--proto", protocols,
      "--proto-redir", protocols, "--connect-timeout", str_cat(request.connect_seconds), "--speed-limit",
      "1000", "--speed-time", str_cat(request.stall_seconds)};
  // And not --continue-at, which takes a 416 for success.
  if (request.from > 0) arguments.insert(arguments.end(), {"--range", str_cat(request.from, '-')});
  arguments.insert(arguments.end(), {"--url", request.url});
  return arguments;
}

// What the child's side of posix_spawn looks like.
class SpawnPlan {
 public:
  SpawnPlan(int out, int err) {
    ::posix_spawn_file_actions_init(&actions_);
    ::posix_spawnattr_init(&attributes_);
    ::posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions_, out, STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions_, err, STDERR_FILENO);
    // This process may ignore SIGPIPE; curl shall die of it when this process is gone.
    sigset_t defaults, blocked;
    sigemptyset(&defaults);
    sigemptyset(&blocked);
    sigaddset(&defaults, SIGPIPE);
    ::posix_spawnattr_setsigdefault(&attributes_, &defaults);
    ::posix_spawnattr_setsigmask(&attributes_, &blocked);
    ::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  }
  ~SpawnPlan() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;

  pid_t run(std::vector<std::string> arguments) const {
    std::vector<char*> pointers;
    for (std::string& a : arguments) pointers.push_back(a.data());
    pointers.push_back(nullptr);
    pid_t child = -1;
    const int error = ::posix_spawnp(&child, pointers[0], &actions_, &attributes_, pointers.data(), environ);
    if (error != 0) fail_errno("cannot run " + arguments[0], error);
    return child;
  }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

// Ends with its owner, whatever ends that.
class Child {
 public:
  explicit Child(pid_t id) : id_(id) {}
  ~Child() { kill(); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  void kill() {
    if (id_ < 0) return;
    ::kill(id_, SIGKILL);
    wait();
  }
  // The exit status, or -1.
  int wait() {
    int status = 0;
    pid_t ended;
    while ((ended = ::waitpid(id_, &status, 0)) < 0 && errno == EINTR) {
    }
    id_ = -1;
    return ended > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  pid_t id_;
};

// What is there to read; closes at the end.
std::span<const std::byte> read_some(Descriptor& from, std::vector<std::byte>& into) {
  const ssize_t got = ::read(from.get(), into.data(), into.size());
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return {};
  if (got <= 0) {
    from.close();
    return {};
  }
  return std::span(into).first(static_cast<std::size_t>(got));
}

// The first line, "curl: (6) Could not resolve host: x", without the first two words.
std::string words_of(std::string said) {
  said.erase(std::min(said.find('\n'), said.size()));
  const auto code = said.find(") ");
  if (said.starts_with("curl: (") && code != std::string::npos) said.erase(0, code + 2);
  return printable(said);
}

}  // namespace

CurlOutcome run_curl(const CurlRequest& request, const CurlReader& reader) {
  using Clock = std::chrono::steady_clock;
  constexpr auto tick = std::chrono::milliseconds(200);
  constexpr std::size_t most_words = 1000;

  Pipe out, err;
  Child child(SpawnPlan(out.write.get(), err.write.get()).run(arguments_for(request)));
  out.write.close();
  err.write.close();

  CurlOutcome outcome;
  HttpHeadReader heads;
  std::string said;
  std::vector<std::byte> chunk(std::size_t{256} << 10);
  auto last_tick = Clock::now();
  while (out.read.open() || err.read.open()) {
    std::array<pollfd, 2> waits{pollfd{out.read.get(), POLLIN, 0}, pollfd{err.read.get(), POLLIN, 0}};
    if (::poll(waits.data(), waits.size(), static_cast<int>(tick.count())) < 0) {
      if (errno != EINTR) fail_errno("cannot wait for curl", errno);
      continue;
    }
    if (waits[1].revents) {
      const auto bytes = read_some(err.read, chunk);
      if (said.size() < most_words) said.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    }
    if (waits[0].revents) {
      auto bytes = read_some(out.read, chunk);
      if (!heads.done()) {
        heads.take(bytes);
        outcome.head = heads.head();
        if (heads.done() && !reader.head(outcome.head)) {
          outcome.stopped = true;
          return outcome;
        }
      }
      if (!bytes.empty()) reader.body(bytes);
    }
    if (Clock::now() - last_tick >= tick) {
      reader.tick();
      last_tick = Clock::now();
    }
  }
  outcome.exit_code = child.wait();
  outcome.said = words_of(std::move(said));
  return outcome;
}

}  // namespace atrous
