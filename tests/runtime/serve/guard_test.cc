#include "runtime/serve/guard.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "doctest/doctest.h"
#include "layers/base/error.h"

namespace atrous::serve {

namespace {

// A file of its own, with the rights that it is given.
class TokenFile {
 public:
  TokenFile(const std::string& text, mode_t rights)
      : path_(std::filesystem::temp_directory_path() / ("atrous-tokens-" + std::to_string(getpid()))) {
    std::ofstream(path_) << text;
    chmod(path_.c_str(), rights);
  }
  ~TokenFile() { std::filesystem::remove(path_); }
  std::string path() const { return path_; }

 private:
  std::filesystem::path path_;
};

std::string sentence_of(const std::string& text, mode_t rights) {
  const TokenFile file(text, rights);
  try {
    Tokens::of_file(file.path());
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a listener's address is numbers and a port") {
  const ListenAddress v4 = parse_listen_address("127.0.0.1:8080");
  CHECK(v4.address == "127.0.0.1");
  CHECK(v4.port == 8080);
  CHECK(v4.loopback());
  CHECK(parse_listen_address("127.9.0.1:1").loopback());
  CHECK(parse_listen_address("[::1]:65535").loopback());
  CHECK_FALSE(parse_listen_address("[2001:db8::1]:80").loopback());
  CHECK_FALSE(parse_listen_address("0.0.0.0:80").loopback());
  for (const char* wrong :
       {"", "8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+1",
        "127.0.0.1:80x", "localhost:80", "::1:80", "[::1]", "[127.0.0.1]:80", "127.0.0.1:080000"}) {
    CAPTURE(wrong);
    CHECK_THROWS_AS(parse_listen_address(wrong), Error);
  }
}

TEST_CASE("secrets are equal where every byte and the length are") {
  CHECK(equal_in_constant_time("secret", "secret"));
  CHECK_FALSE(equal_in_constant_time("secreT", "secret"));
  CHECK_FALSE(equal_in_constant_time("secre", "secret"));
  CHECK_FALSE(equal_in_constant_time("secretsecret", "secret"));
  CHECK_FALSE(equal_in_constant_time("", "secret"));
  CHECK_FALSE(equal_in_constant_time("secret", ""));
  CHECK_FALSE(equal_in_constant_time(std::string_view("secret\0", 7), "secret"));
}

TEST_CASE("tokens come from a file that not everybody may read") {
  const TokenFile file("0123456789abcdef\r\n\nfedcba9876543210\n", 0600);
  const Tokens tokens = Tokens::of_file(file.path());
  CHECK(tokens.asked_for());
  CHECK(tokens.accept("Bearer 0123456789abcdef"));
  CHECK(tokens.accept("BEARER fedcba9876543210"));
  for (const char* wrong : {"", "Bearer", "Bearer ", "0123456789abcdef", "Bearer  0123456789abcdef",
                            "Bearer 0123456789abcdef ", "Bearer 0123456789abcde", "Basic 0123456789abcdef"}) {
    CAPTURE(wrong);
    CHECK_FALSE(tokens.accept(wrong));
  }
  CHECK(Tokens().accept(""));
  CHECK(sentence_of("0123456789abcdef\n", 0644).find("everybody on this machine") != std::string::npos);
  CHECK(sentence_of("0123456789abcde\n", 0600).find("line 1: expected a token of 16 to 512") !=
        std::string::npos);
  CHECK(sentence_of("0123456789abcdef\n01234567 89abcdef\n", 0600).find("line 2") != std::string::npos);
  CHECK(sentence_of("0123456789abcdef\n01234567 89abcdef\n", 0600).find("0123") == std::string::npos);
  CHECK(sentence_of("\n\n", 0600).find("found none") != std::string::npos);
  CHECK_THROWS_AS(Tokens::of_file("/nonexistent/tokens"), Error);
}

TEST_CASE("a Host is one of the listener's names") {
  const Names loopback({"127.0.0.1", 8080}, {});
  for (const char* host :
       {"127.0.0.1:8080", "localhost:8080", "LocalHost:8080", "[::1]:8080", "127.0.0.2:8080"}) {
    CAPTURE(host);
    CHECK(loopback.accept(host, "127.0.0.1"));
  }
  for (const char* host :
       {"", "localhost", "localhost:80", "localhost:8081", "evil.example:8080", "localhost.:8080",
        "127.0.0.1.evil.example:8080", "127.evil.example:8080", "localhost:8080:8080", "[::1:8080",
        "[localhost]:8080", "user@localhost:8080", "localhost:", ":8080", "10.0.0.1:8080"}) {
    CAPTURE(host);
    CHECK_FALSE(loopback.accept(host, "127.0.0.1"));
  }
  const Names everywhere({"0.0.0.0", 80}, {"Photos.Example"});
  CHECK(everywhere.accept("10.0.0.7", "10.0.0.7"));  // port 80 is not written
  CHECK(everywhere.accept("10.0.0.7:80", "10.0.0.7"));
  CHECK_FALSE(everywhere.accept("10.0.0.8", "10.0.0.7"));
  CHECK_FALSE(everywhere.accept("localhost", "10.0.0.7"));
  CHECK(everywhere.accept("localhost", "127.0.0.1"));
  CHECK(everywhere.accept("photos.example", "10.0.0.7"));
  CHECK(everywhere.accept("PHOTOS.example:443", "10.0.0.7"));  // a proxy's port
  CHECK_FALSE(everywhere.accept("other.photos.example", "10.0.0.7"));
}

TEST_CASE("pages of other origins may ask where they are allowed to") {
  CHECK_FALSE(Origins().allowed("https://app.example"));
  const Origins some({"https://app.example"});
  CHECK(some.allowed("https://app.example") == "https://app.example");
  CHECK_FALSE(some.allowed("http://app.example"));
  CHECK_FALSE(some.allowed("https://app.example.evil.example"));
  CHECK_FALSE(some.allowed("null"));
  CHECK(Origins({"*"}).allowed("https://app.example") == "*");
  for (const char* wrong :
       {"app.example", "https://", "https://app.example/", "ftp://app.example", "https://a\r\nb"}) {
    CAPTURE(wrong);
    CHECK_THROWS_AS(Origins({wrong}), Error);
  }
}

}  // namespace atrous::serve
