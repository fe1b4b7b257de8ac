#include "runtime/serve/access_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <utility>
#include <vector>

#include "doctest/doctest.h"
#include "layers/base/error.h"

namespace atrous::serve {

namespace {

// A folder for one test.
class Folder {
 public:
  Folder()
      : path_(std::filesystem::temp_directory_path() / ("atrous-access-log-" + std::to_string(getpid()))) {
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string operator/(const char* name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

std::string text_in(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

// 2009-02-13T23:31:30Z is 1234567890 seconds after the epoch.
constexpr std::chrono::system_clock::time_point moment{std::chrono::milliseconds(1234567890045)};

constexpr std::chrono::seconds soon(20);

// A named pipe that holds 4096 bytes, and its reader.
struct Pipe {
  std::string path;
  int reader = -1;

  explicit Pipe(std::string at) : path(std::move(at)) {
    std::signal(SIGPIPE, SIG_IGN);  // as atrous-serve does
    REQUIRE(mkfifo(path.c_str(), 0600) == 0);
    reader = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    REQUIRE(reader >= 0);
    REQUIRE(fcntl(reader, F_SETPIPE_SZ, 4096) == 4096);
  }
  ~Pipe() { close(reader); }

  // All lines until the log has nothing left to write.
  std::vector<std::string> lines(AccessLog& log) const {
    std::string text;
    for (bool all = false; !all;) {
      all = log.flush(std::chrono::milliseconds(20));
      char bytes[4096];
      for (ssize_t got; (got = read(reader, bytes, sizeof bytes)) > 0;)
        text.append(bytes, static_cast<std::size_t>(got));
    }
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }
};

// The number in "# 2009-02-13T23:31:30.045Z 17 lines lost"; 0 of another line.
std::uint64_t lost_in(const std::string& line) {
  std::istringstream in(line);
  std::string mark, time, lines, lost;
  std::uint64_t count = 0;
  in >> mark >> time >> count >> lines >> lost;
  return mark == "#" && lines == (count == 1 ? "line" : "lines") && lost == "lost" ? count : 0;
}

std::string words_of(std::string_view address, std::string_view method, std::string_view path, int status) {
  return log_line({address, method, path, status, 17, 0.25}, moment);
}

}  // namespace

TEST_CASE("a line of the access log is time, address, method, path, status, bytes and seconds") {
  CHECK(log_line({"127.0.0.1", "POST", "/v1/segment", 200, 5321, 0.3124}, moment) ==
        "2009-02-13T23:31:30.045Z 127.0.0.1 POST /v1/segment 200 5321 0.312\n");
  CHECK(log_line({"2001:db8::1", "GET", "/", 408, 1234567890123, 61.9996}, moment) ==
        "2009-02-13T23:31:30.045Z 2001:db8::1 GET / 408 1234567890123 62.000\n");
}

TEST_CASE("a line has seven words whatever was sent") {
  CHECK(words_of("", "", "", 0) == "2009-02-13T23:31:30.045Z - - - - 17 0.250\n");
  CHECK(words_of("::1", "GET", "/a b\n\x1b[31m\"\\%2e\xc3\xa4\x7f", 404) ==
        "2009-02-13T23:31:30.045Z ::1 GET /a%20b%0A%1B[31m%22%5C%252e%C3%A4%7F 404 17 0.250\n");
  CHECK(words_of("::1", "GET", std::string_view("/\0x", 3), 404) ==
        "2009-02-13T23:31:30.045Z ::1 GET /%00x 404 17 0.250\n");
}

TEST_CASE("an access log is added to, and begun anew where its file was moved away") {
  const Folder folder;
  const std::string path = folder / "access.log", moved = folder / "access.log.1";
  std::ofstream(path) << "before\n";
  AccessLog log(path);
  log.write({"::1", "GET", "/healthz", 200, 1, 0});
  log.look_after();
  log.write({"::1", "GET", "/metrics", 200, 1, 0});
  REQUIRE(log.flush(soon));
  std::string text = text_in(path);
  CHECK(text.starts_with("before\n"));
  CHECK(text.find("/healthz 200") < text.find("/metrics 200"));
  std::filesystem::rename(path, moved);
  log.write({"::1", "GET", "/between", 200, 1, 0});
  REQUIRE(log.flush(soon));
  CHECK(text_in(moved).find("/between") != std::string::npos);
  log.look_after();
  log.write({"::1", "GET", "/after", 200, 1, 0});
  REQUIRE(log.flush(soon));
  CHECK(text_in(path).find("/after 200 1 0.000\n") != std::string::npos);
  CHECK(text_in(path).find("/between") == std::string::npos);
  CHECK((std::filesystem::status(path).permissions() & std::filesystem::perms::others_all) ==
        std::filesystem::perms::none);
  CHECK(log.lost() == 0);
}

TEST_CASE("lines that cannot be written are counted, and a log that cannot be opened is an error") {
  AccessLog full("/dev/full");
  full.write({"::1", "GET", "/", 200, 1, 0});
  full.write({"::1", "GET", "/", 200, 1, 0});
  REQUIRE(full.flush(soon));
  CHECK(full.lost() == 2);
  try {
    AccessLog none("/nonexistent/access.log");
    FAIL("opened");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::io);
    CHECK(std::string(error.what()).starts_with("/nonexistent/access.log: "));
  }
}

TEST_CASE("a pipe that nobody reads keeps nobody waiting, and the log says what was lost where") {
  const Folder folder;
  const Pipe pipe(folder / "pipe");
  AccessLog log(pipe.path, 10000);
  int next = 0, expected = 0;  // the lines' numbers
  const auto write = [&](int lines) {
    for (const int end = next + lines; next < end; ++next)
      log.write({"::1", "GET", "/" + std::to_string(next), 200, 1, 0});
  };
  // Each line is there, or one before the next says that it is not.
  const auto check_read = [&] {
    std::uint64_t lost = 0;
    for (const std::string& line : pipe.lines(log)) {
      CAPTURE(line);
      if (const std::uint64_t here = lost_in(line)) {
        expected += static_cast<int>(here);
        lost += here;
        continue;
      }
      CHECK(line.find(" GET /" + std::to_string(expected) + " 200 ") != std::string::npos);
      ++expected;
    }
    return lost;
  };
  write(1000);  // some are in the pipe, some wait, the others are lost: none of these calls ends otherwise
  CHECK_FALSE(log.flush(std::chrono::milliseconds(1)));
  const std::uint64_t lost = log.lost();
  CHECK(lost > 0);
  std::uint64_t said = check_read();
  write(2);
  said += check_read();
  CHECK(said == lost);
  CHECK(expected == next);
  CHECK(log.lost() == lost);
  // Without a next line too: whoever looks after the log has it say so.
  write(1000);
  said += check_read();
  log.look_after();
  said += check_read();
  CHECK(said == log.lost());
  CHECK(said > lost);
  CHECK(expected == next);
}

TEST_CASE("a log whose pipe nobody reads ends all the same") {
  const Folder folder;
  const Pipe pipe(folder / "pipe");
  const auto began = std::chrono::steady_clock::now();
  {
    AccessLog log(pipe.path);
    for (int i = 0; i < 1000; ++i) log.write({"::1", "GET", "/", 200, 1, 0});
    CHECK(log.lost() == 0);  // they wait
  }
  CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(20));
}

}  // namespace atrous::serve
