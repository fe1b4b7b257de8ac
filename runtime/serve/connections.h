// The sockets: one thread and epoll. A request is handed on once it is whole, so that a slow client costs a
// buffer and no thread; every state of a connection has a deadline, and all buffers together a limit, beyond
// which the slowest connection goes. httplib's own listener has a thread for each connection, which ten slow
// clients use up.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/serve/access_log.h"
#include "runtime/serve/guard.h"
#include "runtime/serve/jobs.h"
#include "runtime/serve/problem.h"
#include "runtime/serve/request_head.h"

namespace atrous::serve {

struct ConnectionLimits {
  std::size_t connections = 512;               // at once; beyond it the one goes that is idle or slow longest
  std::size_t buffers = 256u << 20;            // bytes of bodies and answers on their way, together
  std::chrono::milliseconds head{10'000};      // for a head to come, once its first byte has
  std::chrono::milliseconds idle{15'000};      // between requests
  std::chrono::milliseconds transfer{10'000};  // for a body to come or an answer to go, beside
  std::size_t least_bytes_a_second = 64 * 1024;  // what its size takes at this rate
  std::chrono::milliseconds grace{30'000};       // for what runs, once the server is to stop
};

// An answer's bytes, head and body, and whether the connection ends behind it.
struct Answer {
  std::string bytes;
  bool close = false;
};

// What the connections ask. Called on the connections' thread.
class Requests {
 public:
  virtual ~Requests() = default;
  // A head has come: an answer refuses it, and its body is not read.
  virtual std::optional<Answer> admit(const RequestHead&, const std::string& local_address) = 0;
  // A whole request: its answer, or nothing where Connections::answer() will be called.
  virtual std::optional<Answer> handle(std::uint64_t connection, RequestHead, std::string body) = 0;
  // To what is no HTTP, or comes too slowly: Problem in words.
  virtual Answer refusal(const Problem&) = 0;
  // Nobody waits for the answer of this connection any more.
  virtual void gone(std::uint64_t connection) = 0;
  // Several times a second.
  virtual void tick() = 0;
  // A request has ended: its answer is sent, or its client is gone. Not of a connection that ends within a
  // head.
  virtual void served(const Served&) noexcept = 0;
};

class Connections {
 public:
  // Binds and listens. Error(io) with the address where it cannot.
  Connections(const ListenAddress&, const ConnectionLimits&);
  ~Connections();
  Connections(const Connections&) = delete;
  Connections& operator=(const Connections&) = delete;

  int port() const { return port_; }

  // Serves until `stopping` says so; then no connection is accepted any more, and the requests that are there
  // are answered, for as long as the grace lasts. Error(io) where epoll fails.
  void run(Requests&, const std::function<bool()>& stopping);

  // From any thread: the answer of a request that handle() left open. Without effect once its connection is
  // gone.
  void answer(std::uint64_t connection, Answer);

  // For /metrics; on the connections' thread, but the last, which is for any.
  std::size_t count() const { return connections_.size(); }
  std::size_t held_bytes() const { return held_; }
  std::uint64_t evicted() const { return evicted_; }
  std::uint64_t received_bytes() const { return received_; }
  bool stopping() const { return stopping_; }

 private:
  struct Connection;
  using Entry = std::map<std::uint64_t, std::unique_ptr<Connection>>::iterator;

  void accept_all();
  bool make_room();
  void receive(Connection&);
  void advance(Connection&);
  void take_head(Connection&);
  void take_body(Connection&);
  void hand_on(Connection&);
  void start_answer(Connection&, Answer);
  void send(Connection&);
  void after_answer(Connection&);
  void probe(Connection&);
  void watch(Connection&);
  void close(Connection&);
  void report(Connection&);
  void expire();
  void take_answers();
  void evict_slowest();
  void recount(Connection&);
  void begin_stop();

  ConnectionLimits limits_;
  Requests* requests_ = nullptr;
  int listener_ = -1, epoll_ = -1, wake_ = -1, port_ = 0;
  std::map<std::uint64_t, std::unique_ptr<Connection>> connections_;
  std::vector<std::uint64_t> closed_;  // taken out of the map once no function holds them
  std::uint64_t next_id_ = 2;          // 0 and 1: the listener and the eventfd
  std::size_t held_ = 0;
  std::uint64_t evicted_ = 0, received_ = 0;
  std::atomic<bool> stopping_ = false;
  Clock::time_point accept_again_ = {};
  std::vector<char> buffer_;
  std::mutex mutex_;
  std::vector<std::pair<std::uint64_t, Answer>> answers_;
};

}  // namespace atrous::serve
