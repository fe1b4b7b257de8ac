// A small HTTP/1.1 server for tests, on a free port of 127.0.0.1, that answers as badly as a test wants.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace atrous::testing {

struct HttpRequest {
  std::string path;                 // "/a.pth"
  std::optional<std::size_t> from;  // of "Range: bytes=FROM-"
};

struct HttpAnswer {
  int status = 200;
  std::vector<std::string> headers = {};  // "Name: value"
  std::string body = {};
  std::optional<std::size_t> says_length = {};  // Content-Length, where it is not the body's
  bool length = true;                           // send a Content-Length at all
  std::size_t stop_after = std::string::npos;   // bytes of the body; then the connection ends
  bool reset = false;                           // by a reset instead of an orderly end
  int milliseconds = 0;                         // to wait after each 16 KiB
  bool hang = false;                            // after stop_after: say nothing more, until the client goes
  std::function<void()> before_end = {};        // called when all is sent, before the connection ends
};

// The file, or the part of it that was asked for.
HttpAnswer answer_with(const HttpRequest&, const std::string& file);
HttpAnswer redirect_to(const std::string& url);

class HttpServer {
 public:
  using Handler = std::function<HttpAnswer(const HttpRequest&)>;

  explicit HttpServer(Handler);  // called from several threads, one request at a time
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  std::string url(std::string_view path) const;  // of a path that begins with a slash
  std::vector<HttpRequest> requests() const;     // so far

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The url of a port where nothing listens.
std::string refused_url(std::string_view path);

}  // namespace atrous::testing
