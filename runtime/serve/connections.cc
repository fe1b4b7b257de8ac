#include "runtime/serve/connections.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <new>
#include <utility>

#include "layers/base/error.h"
#include "runtime/serve/problem.h"

namespace atrous::serve {

namespace {

constexpr std::uint64_t listener_id = 0, wake_id = 1;
constexpr std::size_t read_bytes = 256 * 1024;
constexpr int tick_milliseconds = 100;
constexpr std::size_t most_accepted_at_once = 64;
// What is read of a refused body, so that the client sees the answer and no reset connection.
constexpr std::size_t most_drained_bytes = 64u << 20;
constexpr std::chrono::seconds longest_drain{5};

constexpr std::string_view continue_line = "HTTP/1.1 100 Continue\r\n\r\n";

[[noreturn]] void fail_by_system(const std::string& what, int error) {
  fail(ErrorCode::io, what, ": ", std::strerror(error));
}

struct SocketAddress {
  sockaddr_storage storage = {};
  socklen_t length = 0;
  int family = 0;
};

SocketAddress socket_address(const ListenAddress& listen) {
  SocketAddress out;
  sockaddr_in v4 = {};
  if (inet_pton(AF_INET, listen.address.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(static_cast<std::uint16_t>(listen.port));
    out.length = sizeof v4;
    out.family = AF_INET;
    std::memcpy(&out.storage, &v4, sizeof v4);
    return out;
  }
  sockaddr_in6 v6 = {};
  if (inet_pton(AF_INET6, listen.address.c_str(), &v6.sin6_addr) != 1)
    fail(ErrorCode::invalid_argument, listen.address, ": expected an address as numbers");
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(static_cast<std::uint16_t>(listen.port));
  out.length = sizeof v6;
  out.family = AF_INET6;
  std::memcpy(&out.storage, &v6, sizeof v6);
  return out;
}

struct Name {
  std::string address;
  int port = 0;
};

Name name_of(const sockaddr_storage& storage) {
  std::array<char, INET6_ADDRSTRLEN> text = {};
  if (storage.ss_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, &storage, sizeof v4);
    inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size());
    return {text.data(), ntohs(v4.sin_port)};
  }
  sockaddr_in6 v6;
  std::memcpy(&v6, &storage, sizeof v6);
  inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size());
  return {text.data(), ntohs(v6.sin6_port)};
}

// The end of a connection, or a listener, that is on this machine.
Name local_name(int socket) {
  sockaddr_storage storage = {};
  socklen_t length = sizeof storage;
  if (getsockname(socket, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return {};
  return name_of(storage);
}

bool somebody_waits(int listener) {
  pollfd queue = {listener, POLLIN, 0};
  return poll(&queue, 1, 0) == 1;
}

// The status of an answer: "HTTP/1.1 200 OK".
int status_in(std::string_view answer) {
  int status = 0;
  const std::size_t at = answer.find(' ');
  if (at != answer.npos && answer.size() >= at + 4)
    std::from_chars(answer.data() + at + 1, answer.data() + at + 4, status);
  return status;
}

// What cannot be done for want of memory is tried again at the next turn.
template <class Step>
void if_memory_allows(Step&& step) {
  try {
    step();
  } catch (const std::bad_alloc&) {
  }
}

}  // namespace

struct Connections::Connection {
  Connection() = default;
  ~Connection() {
    if (socket >= 0) ::close(socket);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // idle: between requests, or before the first. draining: answered, and what still comes is thrown away.
  enum class State { idle, head, body, computing, answering, draining, closed };

  std::uint64_t id = 0;
  int socket = -1;
  State state = State::idle;
  Clock::time_point since = Clock::now(), deadline = Clock::time_point::max();
  std::string in;  // what has come, and was not taken yet
  RequestHead head;
  std::string body;
  std::string out;
  std::size_t sent = 0, drained = 0, counted = 0;
  bool close_after = false, unread_body = false, probed = false;
  std::uint32_t watched = 0;
  std::string local_address, peer_address;
  // Of the request that is under way: when its first byte came, and what it was answered, 0 before that.
  Clock::time_point began = Clock::now();
  int status = 0;
  bool under_way = false;

  void begin_request() {
    head = {};
    began = Clock::now();
    status = 0;
    under_way = true;
  }

  void enter(State next, std::chrono::milliseconds time) {
    state = next;
    since = Clock::now();
    deadline = time == std::chrono::milliseconds::max() ? Clock::time_point::max() : since + time;
  }
  bool reads() const {
    return state == State::idle || state == State::head || state == State::body || state == State::draining;
  }
};

Connections::Connections(const ListenAddress& listen, const ConnectionLimits& limits)
    : limits_(limits), buffer_(read_bytes) {
  const SocketAddress address = socket_address(listen);
  const std::string name = str_cat(listen.address, " port ", listen.port);
  listener_ = socket(address.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listener_ < 0) fail_by_system(name, errno);
  const int on = 1;
  setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (address.family == AF_INET6) setsockopt(listener_, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  const auto fail_closing = [&] {
    const int error = errno;
    for (const int one : {listener_, epoll_, wake_})
      if (one >= 0) ::close(one);
    fail_by_system(name, error);
  };
  // As long a queue as the kernel allows: where it is full, a client's SYN is dropped, and tried again a
  // second later.
  if (bind(listener_, reinterpret_cast<const sockaddr*>(&address.storage), address.length) != 0 ||
      ::listen(listener_, SOMAXCONN) != 0)
    fail_closing();
  port_ = local_name(listener_).port;
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0) fail_closing();
  wake_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (wake_ < 0) fail_closing();
  for (const auto& [socket, id] : {std::pair{listener_, listener_id}, std::pair{wake_, wake_id}}) {
    epoll_event event = {};
    event.events = EPOLLIN;
    event.data.u64 = id;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, socket, &event) != 0) fail_closing();
  }
}

Connections::~Connections() {
  for (const int one : {listener_, epoll_, wake_})
    if (one >= 0) ::close(one);
}

void Connections::run(Requests& requests, const std::function<bool()>& stopping) {
  requests_ = &requests;
  std::array<epoll_event, 128> events;
  Clock::time_point ticked = {}, last = Clock::time_point::max();
  for (;;) {
    if (!stopping_ && stopping()) {
      begin_stop();
      last = Clock::now() + limits_.grace;
    }
    if (stopping_ && (connections_.empty() || Clock::now() > last)) return;
    const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), tick_milliseconds);
    if (count < 0 && errno != EINTR) fail_by_system("waiting for connections", errno);
    bool knocked = false;
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      const std::uint64_t id = event.data.u64;  // the struct is packed: no reference into it
      const std::uint32_t what = event.events;
      if (id == listener_id) {
        knocked = true;
        continue;
      }
      if (id == wake_id) {
        std::uint64_t ignored;
        while (read(wake_, &ignored, sizeof ignored) > 0) {
        }
        if_memory_allows([&] { take_answers(); });
        continue;
      }
      const Entry found = connections_.find(id);
      if (found == connections_.end()) continue;
      Connection& c = *found->second;
      try {
        if (c.state == Connection::State::computing) {
          if (what & (EPOLLERR | EPOLLHUP))
            close(c);
          else if (what & EPOLLRDHUP)
            probe(c);
          continue;
        }
        if (what & (EPOLLIN | EPOLLERR | EPOLLHUP) && c.reads()) receive(c);
        if (what & (EPOLLOUT | EPOLLERR | EPOLLHUP) && c.state == Connection::State::answering) {
          send(c);
          advance(c);
        }
      } catch (const std::bad_alloc&) {
        close(c);
      }
    }
    // Accepted last: whoever has to go for a new connection has had its bytes read before.
    if (knocked) if_memory_allows([&] { accept_all(); });
    if (held_ > limits_.buffers) evict_slowest();
    if (Clock::now() - ticked > std::chrono::milliseconds(tick_milliseconds)) {
      ticked = Clock::now();
      if_memory_allows([&] {
        expire();
        requests.tick();
        take_answers();
      });
      if (listener_ >= 0 && accept_again_ != Clock::time_point{} && ticked > accept_again_) {
        accept_again_ = {};
        epoll_event event = {};
        event.events = EPOLLIN;
        event.data.u64 = listener_id;
        epoll_ctl(epoll_, EPOLL_CTL_MOD, listener_, &event);
      }
    }
    for (const std::uint64_t id : closed_) connections_.erase(id);
    closed_.clear();
  }
}

void Connections::answer(std::uint64_t connection, Answer answer) {
  {
    const std::lock_guard lock(mutex_);
    answers_.emplace_back(connection, std::move(answer));
  }
  const std::uint64_t one = 1;
  if (write(wake_, &one, sizeof one) < 0) return;  // the counter is full: the thread is awake anyway
}

void Connections::take_answers() {
  std::vector<std::pair<std::uint64_t, Answer>> taken;
  {
    const std::lock_guard lock(mutex_);
    taken.swap(answers_);
  }
  for (auto& [id, answer] : taken) {
    const Entry found = connections_.find(id);
    if (found == connections_.end() || found->second->state != Connection::State::computing) continue;
    Connection& c = *found->second;
    try {
      start_answer(c, std::move(answer));
      advance(c);
    } catch (const std::bad_alloc&) {
      close(c);
    }
  }
}

// What has come by now counts, read or not.
void Connections::begin_stop() {
  accept_all();
  stopping_ = true;
  ::close(std::exchange(listener_, -1));
  for (auto& entry : connections_) {
    Connection& c = *entry.second;
    const auto waits = [&c] {
      return c.state == Connection::State::idle || c.state == Connection::State::head;
    };
    if (waits()) receive(c);
    if (waits()) close(c);
  }
}

void Connections::accept_all() {
  // At most half of what may be here: a connection is read before those of the next turn can make it go.
  const std::size_t most = std::clamp<std::size_t>(limits_.connections / 2, 1, most_accepted_at_once);
  for (std::size_t i = 0; i < most && listener_ >= 0; ++i) {
    auto c = std::make_unique<Connection>();
    sockaddr_storage peer = {};
    socklen_t length = sizeof peer;
    c->socket = accept4(listener_, reinterpret_cast<sockaddr*>(&peer), &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (c->socket < 0) {
      const bool no_descriptor =
          errno == EMFILE || errno == ENFILE;  // which accept4 says of an empty queue, too
      if (no_descriptor && !somebody_waits(listener_)) return;
      if (no_descriptor && make_room()) continue;
      if (no_descriptor || errno == ENOBUFS || errno == ENOMEM) {
        accept_again_ = Clock::now() + std::chrono::milliseconds(100);
        epoll_event event = {};
        event.data.u64 = listener_id;
        epoll_ctl(epoll_, EPOLL_CTL_MOD, listener_, &event);
      }
      return;
    }
    if (connections_.size() - closed_.size() >= limits_.connections &&
        !make_room()) {  // all are being answered
      ++evicted_;
      continue;
    }
    const int on = 1;
    setsockopt(c->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->id = next_id_++;
    c->local_address = local_name(c->socket).address;
    c->peer_address = name_of(peer).address;
    c->enter(Connection::State::idle, limits_.idle);
    c->watched = EPOLLIN;
    epoll_event event = {};
    event.events = c->watched;
    event.data.u64 = c->id;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, c->socket, &event) != 0) continue;
    connections_.emplace(c->id, std::move(c));
  }
}

// Whichever has been in its state longest goes, idle or at work on a head, a body or an answer: a client that
// is not slow is among the youngest. Whether there was one.
bool Connections::make_room() {
  Connection* chosen = nullptr;
  for (auto& [id, c] : connections_) {
    if (c->state == Connection::State::computing || c->state == Connection::State::closed) continue;
    if (!chosen || c->since < chosen->since) chosen = c.get();
  }
  if (!chosen) return false;
  ++evicted_;
  close(*chosen);
  return true;
}

// Bodies and answers of which the oldest goes until the others fit.
void Connections::evict_slowest() {
  while (held_ > limits_.buffers) {
    Connection* chosen = nullptr;
    for (auto& [id, c] : connections_)
      if ((c->state == Connection::State::body || c->state == Connection::State::answering) &&
          (!chosen || c->since < chosen->since))
        chosen = c.get();
    if (!chosen) return;
    ++evicted_;
    close(*chosen);
  }
}

void Connections::recount(Connection& c) {
  const std::size_t now = c.in.size() + c.body.size() + c.out.size();
  held_ += now - c.counted;
  c.counted = now;
}

void Connections::receive(Connection& c) {
  const bool at_head = c.state == Connection::State::idle || c.state == Connection::State::head;
  const ssize_t got = recv(c.socket, buffer_.data(), at_head ? most_head_bytes : buffer_.size(), 0);
  if (got < 0) {
    if (errno != EAGAIN && errno != EINTR) close(c);
    return;
  }
  if (c.state == Connection::State::draining) {
    c.drained += static_cast<std::size_t>(got);
    if (got == 0 || c.drained > most_drained_bytes) close(c);
    return;
  }
  if (got == 0) {  // the client has said all: what it sent is answered, if that is a request
    close(c);
    return;
  }
  received_ += static_cast<std::uint64_t>(got);
  if (c.state == Connection::State::body) {
    const std::size_t wanted = static_cast<std::size_t>(c.head.content_length) - c.body.size();
    const std::size_t taken = std::min(wanted, static_cast<std::size_t>(got));
    c.body.append(buffer_.data(), taken);
    c.in.append(buffer_.data() + taken, static_cast<std::size_t>(got) - taken);
  } else {
    c.in.append(buffer_.data(), static_cast<std::size_t>(got));
  }
  advance(c);
}

// As far as what has come allows: requests that came behind each other are answered in their order, one after
// the other and not each within the one before.
void Connections::advance(Connection& c) {
  for (;;) {
    if (c.state == Connection::State::idle && !c.in.empty()) {
      c.begin_request();
      c.enter(Connection::State::head, limits_.head);
    }
    if (c.state == Connection::State::head) take_head(c);
    if (c.state == Connection::State::body && c.body.size() == c.head.content_length) hand_on(c);
    if (c.state != Connection::State::idle || c.in.empty()) break;
  }
  recount(c);
}

void Connections::take_head(Connection& c) {
  try {
    const auto length = head_length(c.in);
    if (!length) {
      if (c.in.size() > most_head_bytes)
        throw Problem{431, str_cat("a head of more than ", most_head_bytes, " bytes")};
      return;
    }
    c.head = parse_head(std::string_view(c.in).substr(0, *length));
    c.in.erase(0, *length);
  } catch (const Problem& problem) {
    c.unread_body = true;
    Answer refusal = requests_->refusal(problem);
    refusal.close = true;
    start_answer(c, std::move(refusal));
    return;
  }
  c.body.clear();
  if (auto refused = requests_->admit(c.head, c.local_address)) {
    c.unread_body = c.head.content_length > 0;
    refused->close = refused->close || c.unread_body || !c.head.keep_alive;
    start_answer(c, std::move(*refused));
    return;
  }
  const auto length = static_cast<std::size_t>(c.head.content_length);
  const std::size_t taken = std::min(length, c.in.size());
  c.body.reserve(length);
  c.body.append(c.in, 0, taken);
  c.in.erase(0, taken);
  c.enter(Connection::State::body,
          limits_.transfer + std::chrono::milliseconds(1000 * length / limits_.least_bytes_a_second));
  if (c.head.expects_continue && taken < length) {
    // An empty send buffer takes 25 bytes; a client whose buffer does not has pipelined, and is not waiting.
    if (::send(c.socket, continue_line.data(), continue_line.size(), MSG_NOSIGNAL) < 0 && errno != EAGAIN)
      close(c);
  }
}

void Connections::hand_on(Connection& c) {
  c.enter(Connection::State::computing, std::chrono::milliseconds::max());
  watch(c);
  if (auto answer = requests_->handle(c.id, c.head, std::exchange(c.body, {}))) {
    answer->close = answer->close || !c.head.keep_alive;
    start_answer(c, std::move(*answer));
  }
}

void Connections::start_answer(Connection& c, Answer answer) {
  c.out = std::move(answer.bytes);
  c.sent = 0;
  c.status = status_in(c.out);
  c.body = {};
  c.close_after = answer.close || stopping_;
  c.enter(Connection::State::answering,
          limits_.transfer + std::chrono::milliseconds(1000 * c.out.size() / limits_.least_bytes_a_second));
  recount(c);
  send(c);
}

void Connections::send(Connection& c) {
  while (c.sent < c.out.size()) {
    const ssize_t put = ::send(c.socket, c.out.data() + c.sent, c.out.size() - c.sent, MSG_NOSIGNAL);
    if (put < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return close(c);
      return watch(c);
    }
    c.sent += static_cast<std::size_t>(put);
  }
  after_answer(c);
}

void Connections::after_answer(Connection& c) {
  report(c);
  c.out = {};
  recount(c);
  if (c.close_after) {
    if (!c.unread_body) return close(c);
    shutdown(c.socket, SHUT_WR);
    c.in = {};
    recount(c);
    c.enter(Connection::State::draining, longest_drain);
    return watch(c);
  }
  c.enter(Connection::State::idle, limits_.idle);
  watch(c);
}

// A client that has said all may listen still, or be gone. Whoever is gone refuses what is sent, and is then
// not computed for; a client of HTTP/1.1 takes any number of these lines before its answer (RFC 9110, 15.2).
void Connections::probe(Connection& c) {
  c.probed = true;
  watch(c);
  if (c.head.keep_alive) ::send(c.socket, continue_line.data(), continue_line.size(), MSG_NOSIGNAL);
}

// Has epoll tell what the state waits for.
void Connections::watch(Connection& c) {
  if (c.state == Connection::State::closed) return;
  const std::uint32_t wanted = c.reads()                                 ? EPOLLIN
                               : c.state == Connection::State::answering ? EPOLLOUT
                               : c.probed                                ? 0u
                                                                         : EPOLLRDHUP;
  if (wanted == c.watched) return;
  c.watched = wanted;
  epoll_event event = {};
  event.events = wanted;
  event.data.u64 = c.id;
  if (epoll_ctl(epoll_, EPOLL_CTL_MOD, c.socket, &event) != 0) close(c);
}

void Connections::report(Connection& c) {
  if (!std::exchange(c.under_way, false) || (c.status == 0 && c.head.method.empty())) return;
  requests_->served({.address = c.peer_address,
                     .method = c.head.method,
                     .path = c.head.path,
                     .status = c.status,
                     .bytes = c.status == 0 ? 0 : c.sent,
                     .seconds = std::chrono::duration<double>(Clock::now() - c.began).count()});
}

void Connections::close(Connection& c) {
  if (c.state == Connection::State::closed) return;
  report(c);
  const bool computed = c.state == Connection::State::computing;
  c.state = Connection::State::closed;
  c.deadline = Clock::time_point::max();
  ::close(std::exchange(c.socket, -1));
  c.in = {};
  c.body = {};
  c.out = {};
  recount(c);
  closed_.push_back(c.id);
  if (computed) requests_->gone(c.id);
}

void Connections::expire() {
  const auto now = Clock::now();
  for (auto& [id, c] : connections_) {
    if (c->deadline > now) continue;
    if (c->state == Connection::State::head || c->state == Connection::State::body) {
      c->unread_body = true;
      Answer refusal = requests_->refusal({408, "the request did not come in time"});
      refusal.close = true;
      start_answer(*c, std::move(refusal));
    } else {
      close(*c);
    }
  }
}

}  // namespace atrous::serve
