#include "tests/support/http_server.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace atrous::testing {

namespace {

struct Listener {
  int socket = -1, port = 0;
};

Listener bound_to_loopback() {
  Listener out;
  out.socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (out.socket < 0 || ::bind(out.socket, generic, size) != 0 ||
      ::getsockname(out.socket, generic, &size) != 0)
    throw std::runtime_error("no socket on 127.0.0.1");
  out.port = ntohs(address.sin_port);
  return out;
}

Listener listen_on_loopback() {
  const Listener out = bound_to_loopback();
  if (::listen(out.socket, 16) != 0) throw std::runtime_error("no listener on 127.0.0.1");
  return out;
}

std::string url_of(int port, std::string_view path) {
  return "http://127.0.0.1:" + std::to_string(port) + std::string(path);
}

HttpRequest parse_request(const std::string& head) {
  HttpRequest request;
  const auto begin = head.find(' ') + 1;
  request.path = head.substr(begin, head.find(' ', begin) - begin);
  constexpr std::string_view range = "Range: bytes=";
  if (const auto at = head.find(range); at != std::string::npos)
    request.from = std::stoul(head.substr(at + range.size()));
  return request;
}

bool send_all(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (put <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(put));
  }
  return true;
}

std::string head_of(const HttpAnswer& answer) {
  std::string head = "HTTP/1.1 " + std::to_string(answer.status) + " Words\r\nConnection: close\r\n";
  if (answer.length)
    head += "Content-Length: " + std::to_string(answer.says_length.value_or(answer.body.size())) + "\r\n";
  for (const std::string& header : answer.headers) head += header + "\r\n";
  return head + "\r\n";
}

}  // namespace

HttpAnswer answer_with(const HttpRequest& request, const std::string& file) {
  const std::string total = "/" + std::to_string(file.size());
  if (!request.from) return {.body = file};
  if (*request.from >= file.size()) return {.status = 416, .headers = {"Content-Range: bytes *" + total}};
  const std::string range = std::to_string(*request.from) + "-" + std::to_string(file.size() - 1);
  return {.status = 206,
          .headers = {"Content-Range: bytes " + range + total},
          .body = file.substr(*request.from)};
}

HttpAnswer redirect_to(const std::string& url) {
  return {.status = 302, .headers = {"Location: " + url}, .body = "moved"};
}

struct HttpServer::State {
  Handler handler;
  Listener listener = listen_on_loopback();
  std::atomic<bool> stopping = false;
  mutable std::mutex mutex;
  std::vector<HttpRequest> requests;
  std::vector<std::thread> connections;
  std::thread accepting;

  // Waits in short steps, so that the server can stop; false when there is nothing to wait for any more.
  bool readable(int socket) const {
    while (!stopping) {
      pollfd wait{socket, POLLIN, 0};
      if (::poll(&wait, 1, 20) > 0) return true;
    }
    return false;
  }

  void accept_all() {
    while (readable(listener.socket)) {
      const int socket = ::accept4(listener.socket, nullptr, nullptr, SOCK_CLOEXEC);
      if (socket >= 0) connections.emplace_back([this, socket] { serve(socket); });
    }
  }

  void serve(int socket) {
    std::string head;
    std::array<char, 4096> chunk;
    while (head.find("\r\n\r\n") == std::string::npos && readable(socket)) {
      const ssize_t got = ::recv(socket, chunk.data(), chunk.size(), 0);
      if (got <= 0) break;
      head.append(chunk.data(), static_cast<std::size_t>(got));
    }
    if (head.find("\r\n\r\n") != std::string::npos) answer(socket, head);
    ::close(socket);
  }

  void answer(int socket, const std::string& head) {
    HttpAnswer answer;
    {
      const std::lock_guard lock(mutex);
      requests.push_back(parse_request(head));
      answer = handler(requests.back());
    }
    constexpr std::size_t piece = 16384;
    std::string_view body = std::string_view(answer.body).substr(0, answer.stop_after);
    bool open = send_all(socket, head_of(answer));
    while (open && !body.empty() && !stopping) {
      open = send_all(socket, body.substr(0, piece));
      body.remove_prefix(std::min(piece, body.size()));
      std::this_thread::sleep_for(std::chrono::milliseconds(answer.milliseconds));
    }
    if (answer.before_end) answer.before_end();
    if (answer.hang) readable(socket);
    const linger at_once{1, 0};
    if (answer.reset) ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }
};

HttpServer::HttpServer(Handler handler) : state_(std::make_unique<State>()) {
  state_->handler = std::move(handler);
  state_->accepting = std::thread([state = state_.get()] { state->accept_all(); });
}

HttpServer::~HttpServer() {
  state_->stopping = true;
  state_->accepting.join();
  for (std::thread& connection : state_->connections) connection.join();
  ::close(state_->listener.socket);
}

std::string HttpServer::url(std::string_view path) const { return url_of(state_->listener.port, path); }

std::vector<HttpRequest> HttpServer::requests() const {
  const std::lock_guard lock(state_->mutex);
  return state_->requests;
}

std::string refused_url(std::string_view path) {
  // Bound until the process ends, so that no other test's server gets the port.
  static const Listener silent = bound_to_loopback();
  return url_of(silent.port, path);
}

}  // namespace atrous::testing
