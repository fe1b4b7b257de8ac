// Downloads through the system's curl, from a server of the tests' own.
#include "weights_tools/download/download.h"

#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>

#include "tests/support/http_server.h"
#include "tests/support/weights_helpers.h"
#include "weights_tools/download/catalogue.h"
#include "weights_tools/download/http_head.h"
#include "weights_tools/io/sha256.h"

namespace atrous::download_test {

using namespace atrous::weights_testing;
using testing::answer_with;
using testing::HttpAnswer;
using testing::HttpRequest;
using testing::HttpServer;

namespace {

Bytes noise(std::size_t size) {
  Bytes out(size, '\0');
  std::uint32_t state = 1;
  for (char& c : out) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  return out;
}

// A file of 300,000 bytes, where it shall go, and what it may be fetched from.
// Until the file has so many, or never will.
void wait_for_bytes(const std::string& path, std::uintmax_t bytes) {
  std::error_code none;
  for (int i = 0; i < 2000 && !(std::filesystem::file_size(path, none) == bytes && !none); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
}

struct Download {
  const TempFolder folder;
  const Bytes file = noise(300'000);
  const std::string prefix = sha256_of_bytes(as_bytes(file)).substr(0, 8);
  const std::string path = folder.path("net.pth"), part = path + ".part";
  DownloadOptions options;

  Download() {
    ::setenv("no_proxy", "127.0.0.1", 1);  // whatever proxy there is for others
    options.stall_seconds = 20;
  }
  HttpServer server_of_file() const {
    return HttpServer([this](const HttpRequest& r) { return answer_with(r, file); });
  }
  Fetched from(const HttpServer& server) const {
    return fetch(server.url("/net.pth"), path, prefix, options);
  }
  void check_arrived() const {
    CHECK(as_text(read_file(path, file.size())) == file);
    CHECK(folder.files() == 1);
  }
  // The refusal's sentence; nothing may be under the final name.
  std::string refused(const std::string& url, ErrorCode code) const {
    const Refusal refusal = refusal_of([&] { fetch(url, path, prefix, options); });
    CHECK(refusal.code == code);
    CHECK_FALSE(std::filesystem::exists(path));
    return refusal.sentence;
  }
  std::string refused(const HttpServer& server, ErrorCode code) const {
    return refused(server.url("/net.pth"), code);
  }
};

void check_says(const std::string& sentence, const std::vector<std::string>& parts) {
  CAPTURE(sentence);
  for (const std::string& part : parts)
    CHECK_MESSAGE(sentence.find(part) != std::string::npos, "expected: ", part);
}

// A program in curl's place, to see what it is given and to say what curl rarely says.
std::string fake_curl(const TempFolder& folder, const std::string& commands) {
  const std::string path = folder.path("curl");
  std::ofstream(path) << "#!/bin/sh\n" << commands << '\n';
  ::chmod(path.c_str(), 0755);
  return path;
}

}  // namespace

TEST_CASE_FIXTURE(Download, "a file is downloaded whole, checked, and reported as it grows") {
  const HttpServer server = server_of_file();
  std::vector<std::uint64_t> seen;
  options.progress = [&](std::uint64_t bytes, std::uint64_t total) {
    CHECK(total == file.size());
    seen.push_back(bytes);
  };
  const Fetched fetched = from(server);
  CHECK(fetched.downloaded);
  CHECK(fetched.sha256 == sha256_of_bytes(as_bytes(file)));
  check_arrived();
  REQUIRE(!seen.empty());
  CHECK(std::ranges::is_sorted(seen));
  CHECK(seen.front() == 0);
  CHECK(seen.back() == file.size());
}

TEST_CASE_FIXTURE(Download,
                  "a file that is there with the right sha256 is not downloaded again, unless forced") {
  folder.save("net.pth", file);
  const HttpServer server = server_of_file();
  CHECK_FALSE(from(server).downloaded);
  CHECK(server.requests().empty());
  options.force = true;
  CHECK(from(server).downloaded);
  CHECK(server.requests().size() == 1);
  check_arrived();
}

TEST_CASE_FIXTURE(Download, "a file that is there with another sha256 is replaced") {
  folder.save("net.pth", "something else");
  const HttpServer server = server_of_file();
  CHECK(from(server).downloaded);
  check_arrived();
}

TEST_CASE_FIXTURE(Download, "a part is resumed where it ends") {
  folder.save("net.pth.part", std::string_view(file).substr(0, 100'000));
  const HttpServer server = server_of_file();
  std::uint64_t least = file.size();
  options.progress = [&](std::uint64_t bytes, std::uint64_t total) {
    CHECK(total == file.size());
    least = std::min(least, bytes);
  };
  from(server);
  check_arrived();
  CHECK(least >= 100'000);
  REQUIRE(server.requests().size() == 1);
  CHECK(server.requests()[0].from == 100'000u);
}

TEST_CASE_FIXTURE(Download, "a download that breaks off keeps its part and says how to go on") {
  for (const bool reset : {false, true}) {
    CAPTURE(reset);
    const TempFolder own;
    const std::string here = own.path("net.pth");
    bool broken = true;
    const HttpServer server([&](const HttpRequest& request) {
      HttpAnswer answer = answer_with(request, file);
      if (std::exchange(broken, false)) {
        answer.stop_after = 16'384, answer.reset = reset;
        // What was sent has arrived before a reset would discard it.
        answer.before_end = [&] { wait_for_bytes(here + ".part", 16'384); };
      }
      return answer;
    });
    const Refusal refusal = refusal_of([&] { fetch(server.url("/net.pth"), here, prefix, options); });
    CHECK(refusal.code == ErrorCode::io);
    check_says(refusal.sentence, {"net.pth: ", "127.0.0.1", "16384 of 300000 bytes", "again resumes"});
    CHECK_FALSE(std::filesystem::exists(here));
    CHECK(std::filesystem::file_size(here + ".part") == 16'384);

    CHECK(fetch(server.url("/net.pth"), here, prefix, options).downloaded);
    CHECK(as_text(read_file(here, file.size())) == file);
    CHECK(own.files() == 1);
    CHECK(server.requests().back().from == 16'384u);
  }
}

TEST_CASE_FIXTURE(Download, "a server that stalls is given up") {
  const HttpServer server([&](const HttpRequest& request) {
    HttpAnswer answer = answer_with(request, file);
    answer.stop_after = 500;
    answer.hang = true;
    return answer;
  });
  options.stall_seconds = 1;
  check_says(refused(server, ErrorCode::io), {"500 of 300000 bytes", "again resumes"});
}

TEST_CASE_FIXTURE(Download, "a slow server is not taken for one that stalls") {
  const HttpServer server([&](const HttpRequest& request) {
    HttpAnswer answer = answer_with(request, file);
    answer.milliseconds = 100;
    return answer;
  });
  options.stall_seconds = 1;
  from(server);
  check_arrived();
}

TEST_CASE_FIXTURE(Download, "where no length is known, curl knows whether a download broke off") {
  const TempFolder programs;
  options.curl =
      fake_curl(programs, "printf 'HTTP/1.1 200 OK\\n\\nabc'; echo 'curl: (56) reset' >&2; exit 56");
  check_says(refused("https://host/net.pth", ErrorCode::io),
             {"3 of an unknown number of bytes", "(reset)", "again resumes"});
  CHECK(std::filesystem::file_size(part) == 3);
}

TEST_CASE_FIXTURE(Download, "a server without ranges sends all of it once more") {
  folder.save("net.pth.part", std::string_view(file).substr(0, 100'000));
  const HttpServer server([&](const HttpRequest&) { return HttpAnswer{.body = file}; });
  from(server);
  check_arrived();
  CHECK(server.requests().size() == 1);
}

TEST_CASE_FIXTURE(Download, "a server that refuses the range, or sends another one, is asked for all of it") {
  for (const HttpAnswer& odd :
       {HttpAnswer{.status = 416},
        HttpAnswer{
            .status = 206, .headers = {"Content-Range: bytes 5-299999/300000"}, .body = file.substr(5)},
        HttpAnswer{.status = 206, .body = file.substr(100'000)}}) {
    folder.save("net.pth.part", std::string_view(file).substr(0, 100'000));
    const HttpServer server(
        [&](const HttpRequest& request) { return request.from ? odd : HttpAnswer{.body = file}; });
    from(server);
    check_arrived();
    CHECK(server.requests().size() == 2);
    std::filesystem::remove(path);
  }
}

TEST_CASE_FIXTURE(Download, "a part that has all bytes already only wants its name") {
  folder.save("net.pth.part", file);
  const HttpServer server = server_of_file();
  from(server);
  check_arrived();
  CHECK(server.requests().size() == 1);
}

TEST_CASE_FIXTURE(Download, "a part of another file is noticed, and the download starts over once") {
  for (const std::size_t size : {std::size_t{1000}, file.size(), file.size() + 1}) {
    CAPTURE(size);
    folder.save("net.pth.part", Bytes(size, 'x'));
    const HttpServer server = server_of_file();
    from(server);
    check_arrived();
    CHECK(server.requests().size() == 2);
    CHECK_FALSE(server.requests().back().from);
    std::filesystem::remove(path);
  }
}

TEST_CASE_FIXTURE(Download, "a file with another sha256 is refused with both, and nothing of it stays") {
  const HttpServer server([&](const HttpRequest& r) { return answer_with(r, "<html>Sign in</html>"); });
  for (const bool resumed : {false, true}) {
    CAPTURE(resumed);
    if (resumed) folder.save("net.pth.part", "<html>");
    check_says(refused(server, ErrorCode::malformed),
               {"net.pth: ", prefix, sha256_of_bytes(as_bytes("<html>Sign in</html>"))});
    CHECK(folder.files() == 0);
  }
  CHECK(server.requests().size() == 3);  // a resumed one has a second try
}

TEST_CASE_FIXTURE(Download, "without a sha256 nothing is checked and nothing is resumed") {
  folder.save("net.pth.part", "of some other file");
  const HttpServer server = server_of_file();
  CHECK(fetch(server.url("/net.pth"), path, "", options).sha256 == sha256_of_bytes(as_bytes(file)));
  check_arrived();
  CHECK_FALSE(server.requests().at(0).from);

  const HttpServer broken([&](const HttpRequest&) { return HttpAnswer{.body = file, .stop_after = 1000}; });
  const Refusal refusal = refusal_of([&] { fetch(broken.url("/b"), folder.path("b"), "", options); });
  check_says(refusal.sentence, {"1000 of 300000 bytes", "has to start over"});
  CHECK(folder.files() == 1);
}

TEST_CASE_FIXTURE(Download, "redirects are followed, and the last answer counts") {
  const HttpServer server([&](const HttpRequest& request) {
    if (request.path == "/net.pth") return testing::redirect_to("/elsewhere");
    return answer_with(request, file);
  });
  folder.save("net.pth.part", std::string_view(file).substr(0, 5));
  from(server);
  check_arrived();
  REQUIRE(server.requests().size() == 2);
  CHECK(server.requests()[1].from == 5u);
}

TEST_CASE_FIXTURE(Download, "redirects in a circle and to other protocols end in a sentence") {
  const HttpServer circle([&](const HttpRequest&) { return testing::redirect_to("/net.pth"); });
  check_says(refused(circle, ErrorCode::io), {"net.pth: ", "127.0.0.1", "redirects"});
  CHECK(circle.requests().size() <= 11);
  const HttpServer to_file([&](const HttpRequest&) { return testing::redirect_to("file:///etc/passwd"); });
  check_says(refused(to_file, ErrorCode::io), {"redirects to an address that is not http or https"});
  CHECK(folder.files() == 0);
}

TEST_CASE_FIXTURE(Download, "what a server answers in place of the file is said by its number") {
  for (const int status : {404, 410}) {
    const HttpServer server([&](const HttpRequest&) { return HttpAnswer{.status = status, .body = "gone"}; });
    check_says(refused(server, ErrorCode::io), {server.url("/net.pth"), "no such file", str_cat(status)});
  }
  for (const int status : {204, 206, 304, 401, 403, 500, 503}) {
    CAPTURE(status);
    const HttpServer server([&](const HttpRequest&) { return HttpAnswer{.status = status}; });
    check_says(refused(server, ErrorCode::io), {server.url("/net.pth"), str_cat("answered ", status)});
  }
  CHECK(folder.files() == 0);
}

TEST_CASE_FIXTURE(Download, "a failed answer leaves a part as it was") {
  folder.save("net.pth.part", std::string_view(file).substr(0, 100'000));
  const HttpServer server([&](const HttpRequest&) { return HttpAnswer{.status = 503}; });
  refused(server, ErrorCode::io);
  refused(testing::refused_url("/net.pth"), ErrorCode::io);
  CHECK(as_text(read_file(part, file.size())) == file.substr(0, 100'000));
}

TEST_CASE_FIXTURE(Download, "without a connection it says what to put where by hand") {
  const std::string url = testing::refused_url("/net.pth");
  check_says(refused(url, ErrorCode::io),
             {"net.pth: cannot fetch it from 127.0.0.1", "download " + url, "put it at " + path});
  // "invalid" is a domain that never exists (RFC 2606).
  check_says(refused("http://atrous.invalid/net.pth", ErrorCode::io),
             {"net.pth: cannot fetch it from atrous.invalid", "put it at " + path});
  CHECK(folder.files() == 0);
}

TEST_CASE_FIXTURE(Download, "without curl it says so") {
  options.curl = folder.path("no-curl");
  check_says(
      refused("https://host/net.pth", ErrorCode::io),
      {"net.pth: ", "cannot run " + options.curl, "installed", "https://host/net.pth", "put it at " + path});
  CHECK(folder.files() == 0);
}

TEST_CASE_FIXTURE(Download, "an endless or huge file is given up at the limit") {
  options.most_bytes = 100'000;
  const HttpServer told = server_of_file();
  check_says(refused(told, ErrorCode::limit), {"300000", "100000"});
  const HttpServer untold([&](const HttpRequest&) { return HttpAnswer{.body = file, .length = false}; });
  check_says(refused(untold, ErrorCode::limit), {"100000"});
  CHECK(folder.files() == 0);
}

TEST_CASE_FIXTURE(Download, "a server that never says how much it sends is checked by the sha256") {
  const HttpServer whole([&](const HttpRequest&) { return HttpAnswer{.body = file, .length = false}; });
  options.progress = [](std::uint64_t, std::uint64_t total) { CHECK(total == 0); };
  from(whole);
  check_arrived();
  std::filesystem::remove(path);
  const HttpServer half(
      [&](const HttpRequest&) { return HttpAnswer{.body = file, .length = false, .stop_after = 1000}; });
  refused(half, ErrorCode::malformed);
  CHECK(folder.files() == 0);
}

TEST_CASE_FIXTURE(Download, "those who fetch the same file take turns, and one of them downloads it") {
  std::atomic<int> downloads = 0, waits = 0;
  const HttpServer server([&](const HttpRequest& request) {
    // Answers when the others are waiting, or never will.
    for (int i = 0; i < 1000 && waits < 2; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return answer_with(request, file);
  });
  std::vector<std::thread> threads;
  options.waiting = [&] { ++waits; };
  for (int i = 0; i < 3; ++i) threads.emplace_back([&] { downloads += from(server).downloaded; });
  for (std::thread& thread : threads) thread.join();
  CHECK(downloads == 1);
  CHECK(waits == 2);
  CHECK(server.requests().size() == 1);
  check_arrived();
}

TEST_CASE_FIXTURE(Download, "the next in turn starts anew where the one before it failed") {
  std::atomic<int> waits = 0, failures = 0, downloads = 0;
  const HttpServer server([&, first = true](const HttpRequest& request) mutable {
    for (int i = 0; i < 1000 && waits < 1; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return std::exchange(first, false) ? HttpAnswer{.body = "wrong"} : answer_with(request, file);
  });
  options.waiting = [&] { ++waits; };
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i)
    threads.emplace_back([&] {
      try {
        downloads += from(server).downloaded;
      } catch (const Error& error) {
        failures += error.code() == ErrorCode::malformed;
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(failures == 1);
  CHECK(downloads == 1);
  check_arrived();
}

TEST_CASE_FIXTURE(Download, "what lies in the part's place is not written through") {
  const std::string other = folder.save("precious", "data");
  std::filesystem::create_symlink(other, part);
  const HttpServer server = server_of_file();
  check_says(refused(server, ErrorCode::io), {part, "cannot create"});
  CHECK(as_text(read_file(other, 100)) == "data");
  std::filesystem::remove(part);
  REQUIRE(::mkfifo(part.c_str(), 0600) == 0);
  check_says(refused(server, ErrorCode::io), {part, "not a regular file"});
  CHECK(server.requests().empty());
}

TEST_CASE_FIXTURE(Download, "a folder that is not there is said before anything is asked for") {
  const HttpServer server = server_of_file();
  const Refusal refusal =
      refusal_of([&] { fetch(server.url("/a"), folder.path("none/a"), prefix, options); });
  check_says(refusal.sentence, {folder.path("none/a.part"), "No such file or directory"});
  CHECK(server.requests().empty());
}

TEST_CASE_FIXTURE(Download, "curl gets no configuration file, and https stays https") {
  const TempFolder programs;
  options.curl = fake_curl(programs, "printf '%s\\n' \"$@\" > \"$0.arguments\"; exit 7");
  const auto arguments_for = [&](const std::string& url) {
    refused(url, ErrorCode::io);
    return Bytes(as_text(read_file(options.curl + ".arguments", 10'000)));
  };
  const std::string secure = arguments_for("https://host/{a,b}[1-9]");
  CHECK(secure.starts_with("-q\n"));
  CHECK(secure.ends_with("--url\nhttps://host/{a,b}[1-9]\n"));
  check_says(secure,
             {"--proto\n=https\n", "--proto-redir\n=https\n", "--globoff\n", "--connect-timeout\n30\n"});
  check_says(arguments_for("http://host/a"), {"--proto\n=http,https\n"});
}

TEST_CASE_FIXTURE(Download, "nothing that curl or a server says can steer a terminal") {
  const TempFolder programs;
  options.curl = fake_curl(programs, "printf 'curl: (60) \\033[2Jcertificate\\233\\nmore' >&2; exit 60");
  const std::string said = refused("https://host/net.pth", ErrorCode::io);
  check_says(said, {"(\\x1b[2Jcertificate\\x9b)"});
  CHECK(said.find('\033') == std::string::npos);
  options.curl = fake_curl(programs, "printf '\\033]0;title\\n\\n'");
  CHECK(refused("https://host/net.pth", ErrorCode::malformed).find('\033') == std::string::npos);
  options.curl = fake_curl(programs, "while :; do echo 'X-Endless: header' || exit; done");
  refused("https://host/net.pth", ErrorCode::limit);
}

TEST_CASE_FIXTURE(Download, "curl is ended when the caller gives up") {
  const TempFolder programs;
  options.curl =
      fake_curl(programs,
                "echo $$ > \"$0.pid\"; printf 'HTTP/1.1 200 OK\\r\\nContent-Length: 9\\r\\n\\r\\nabc'; "
                "exec sleep 60");
  options.progress = [](std::uint64_t bytes, std::uint64_t) {
    if (bytes == 3) throw std::runtime_error("enough");
  };
  CHECK_THROWS_WITH(fetch("https://host/net.pth", path, prefix, options), "enough");
  const int child = std::stoi(std::string(as_text(read_file(options.curl + ".pid", 100))));
  CHECK(::kill(child, 0) == -1);
  CHECK(std::filesystem::file_size(part) == 3);
}

TEST_CASE("urls that are none, or could be taken for options, are refused") {
  const TempFolder folder;
  for (const char* url : {"", "-o/tmp/x", "ftp://host/a", "file:///etc/passwd", "https://", "http:///a",
                          "https://host/a b", "https://host/a\nb", "https://host/\x1b[2J",
                          "https://h\xc3\xb6st/a", "https://user:word@host/a", "HTTPS://host/a"}) {
    CAPTURE(url);
    check_refused([&] { fetch(url, folder.path("a"), ""); }, ErrorCode::invalid_argument, "url ");
  }
  check_refused([&] { fetch("https://" + Bytes(3000, 'a'), folder.path("a"), ""); },
                ErrorCode::invalid_argument, "3008 characters, more than 2000");
  for (const char* prefix : {"1234567", "1234567G", "1234567A", "../../../a"})
    check_refused([&] { fetch("https://host/a", folder.path("a"), prefix); }, ErrorCode::invalid_argument,
                  "8 to 64 lower-case hex digits");
  CHECK(folder.files() == 0);
}

TEST_CASE("the name of a url's file is taken only where it can be used as it is") {
  CHECK(file_name_in_url("https://host/models/net-1a2b3c4d.pth") == "net-1a2b3c4d.pth");
  CHECK(file_name_in_url("https://host/net.pth?token=/x#y/z") == "net.pth");
  for (const char* url :
       {"https://host", "https://host/", "https://host/a/", "https://host/..", "https://host/.a",
        "https://host/-o", "https://host/a\\b", "https://host/?a/b", "net.pth"})
    CHECK_MESSAGE(file_name_in_url(url) == "", url);
  CHECK(file_name_in_url("https://host/" + Bytes(200, 'a')).size() == 200);
  CHECK(file_name_in_url("https://host/" + Bytes(201, 'a')) == "");
}

TEST_CASE("the catalogue's checkpoints are found by name, and torchvision's carry their sha256") {
  int torchvision = 0;
  for (const PublishedCheckpoint& p : published_checkpoints()) {
    REQUIRE(find_published(p.name));
    CHECK(find_published(p.name)->file == p.file);
    CHECK(url_of(p).starts_with("https://"));
    CHECK(url_of(p).ends_with("/" + std::string(p.file)));
    if (p.folder != "https://download.pytorch.org/models/") continue;
    ++torchvision;
    CHECK(sha256_prefix_in(p.file).size() == 8);
  }
  CHECK(torchvision == 10);
  REQUIRE(find_published("deeplabv2-kazuto-resnet101-msc"));
  CHECK(url_of(*find_published("deeplabv2-kazuto-resnet101-msc")) ==
        "https://github.com/kazuto1011/deeplab-pytorch/releases/download/v1.0/"
        "deeplabv2_resnet101_msc-vocaug-20000.pth");
  CHECK(find_published("fcn8s-wkentaro") == nullptr);
  REQUIRE(find_published("deeplabv3_resnet101"));
  CHECK(sha256_prefix_in(find_published("deeplabv3_resnet101")->file) == "586e9e4e");
  CHECK(find_published("") == nullptr);
  CHECK(find_published("deeplabv3") == nullptr);
}

TEST_CASE("a sha256 in a file name is 8 to 64 hex digits between the last hyphen and the extension") {
  CHECK(sha256_prefix_in("a-b-1a2b3c4d.pth") == "1a2b3c4d");
  CHECK(sha256_prefix_in("a-" + Bytes(64, 'f') + ".safetensors") == Bytes(64, 'f'));
  for (const Bytes& file : {Bytes("a-1a2b3c4.pth"), "a-" + Bytes(65, 'f') + ".pth", Bytes("a-1A2B3C4D.pth"),
                            Bytes("a-1a2b3c4d"), Bytes("1a2b3c4d.pth"), Bytes("a-1a2b3c4d-b.pth"), Bytes("")})
    CHECK_MESSAGE(sha256_prefix_in(file) == "", file);
}

TEST_CASE("the heads of answers are cut off the body, wherever the pieces end") {
  const Bytes stream =
      "HTTP/1.1 100 Continue\r\n\r\n"
      "HTTP/1.1 302 Found\r\nLOCATION: /b\r\nContent-Length: 5\r\n\r\n"
      "HTTP/2 206 \r\ncontent-range: bytes 7-16/17\r\ncontent-length:10\r\n\r\nHTTP/1.1 2";
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, stream.size()}) {
    HttpHeadReader reader;
    Bytes body;
    for (std::size_t i = 0; i < stream.size(); i += piece) {
      auto bytes = as_bytes(std::string_view(stream).substr(i, piece));
      reader.take(bytes);
      body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    }
    CHECK(reader.done());
    CHECK(body == "HTTP/1.1 2");
    CHECK(reader.head().status == 206);
    CHECK(reader.head().range_first == 7u);
    CHECK(reader.head().range_total == 17u);
    CHECK(reader.head().length == 10u);
  }
}

TEST_CASE("numbers in a head that are none are left out") {
  for (const char* value : {"", "x", "-5", "5x", "99999999999999999999", "5, 5"}) {
    CAPTURE(value);
    const HttpHead head =
        parse_http_head(str_cat("HTTP/1.1 206 OK\r\nContent-Length: ", value, "\r\nContent-Range: bytes ",
                                value, "-/", value, "\r\n\r\n"));
    CHECK_FALSE(head.length);
    CHECK_FALSE(head.range_total);
  }
  CHECK(parse_http_head("HTTP/1.1 416\nContent-Range: bytes */300\n\n").range_total == 300u);
  CHECK_FALSE(parse_http_head("HTTP/1.1 416\nContent-Range: bytes */300\n\n").range_first);
  CHECK_FALSE(parse_http_head("HTTP/1.1 200 OK\nlocation: /a\n\n").redirects);
  for (const char* line : {"\n", "ICY 200 OK\n", "HTTP/1.1\n", "HTTP/1.1 x\n", "HTTP/1.1 99\n"})
    check_refused([&] { parse_http_head(line); }, ErrorCode::malformed, "not with a status");
}

}  // namespace atrous::download_test
