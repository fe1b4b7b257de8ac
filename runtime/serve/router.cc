#include "runtime/serve/router.h"

#include <httplib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>

#include "layers/base/error.h"
#include "layers/base/visible_text.h"

namespace atrous::serve {

namespace {

// A head in memory, and an answer into memory.
class MemoryStream final : public httplib::Stream {
 public:
  explicit MemoryStream(std::string_view in) : in_(in) {}

  bool is_readable() const override { return true; }
  bool is_writable() const override { return true; }
  ssize_t read(char* to, std::size_t size) override {
    const std::size_t taken = std::min(size, in_.size());
    std::memcpy(to, in_.data(), taken);
    in_.remove_prefix(taken);
    return static_cast<ssize_t>(taken);
  }
  ssize_t write(const char* from, std::size_t size) override {
    out.append(from, size);
    return static_cast<ssize_t>(size);
  }
  void get_remote_ip_and_port(std::string& ip, int& port) const override {
    ip.clear();
    port = 0;
  }
  void get_local_ip_and_port(std::string& ip, int& port) const override {
    ip.clear();
    port = 0;
  }
  socket_t socket() const override { return 0; }

  std::string out;

 private:
  std::string_view in_;
};

// What the library could not do with a picture that came: the client's picture, unless the library says
// otherwise.
int status_of(const Error& error) {
  switch (error.code()) {
    case ErrorCode::unsupported:
      return 415;
    case ErrorCode::limit:
      return 413;
    case ErrorCode::invalid_argument:
    case ErrorCode::malformed:
    case ErrorCode::mismatch:
      return 422;
    default:
      return 500;
  }
}

Reply reply_to_failure(const std::function<Reply()>& handle) {
  try {
    return handle();
  } catch (const Problem& problem) {
    return reply_of(problem);
  } catch (const OutOfMemory&) {
    return reply_of({503, "there is no memory for this request now", {{"Retry-After", "5"}}});
  } catch (const Error& error) {
    if (error.code() == ErrorCode::io || error.code() == ErrorCode::device)  // may name files of the server
      return reply_of({500, "the server failed at this request"});
    return reply_of({status_of(error), error.what()});
  } catch (const std::bad_alloc&) {
    return reply_of({503, "there is no memory for this request now", {{"Retry-After", "5"}}});
  } catch (const std::exception&) {
    return reply_of({500, "the server failed at this request"});
  }
}

// A path as a regular expression that is only itself.
std::string literally(const std::string& path) {
  std::string out;
  for (const char c : path) {
    if (std::string_view(".^$|()[]{}*+?\\").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

void put(Reply&& reply, httplib::Response& response) {
  response.status = reply.status;
  for (const auto& [name, value] : reply.headers) response.set_header(name, value);
  if (reply.status == 204) return;
  response.set_content(std::move(reply.body), reply.type);
}

}  // namespace

std::string Query::parameter(const std::string& name) const {
  const auto [first, last] = parameters.equal_range(name);
  if (first == last) return "";
  if (std::next(first) != last) throw Problem{400, str_cat(name, " is there twice")};
  return first->second;
}

void Query::check_parameters(std::initializer_list<std::string_view> known) const {
  for (const auto& [name, value] : parameters)
    if (std::ranges::find(known, name) == known.end())
      throw Problem{400, str_cat("no such parameter here: ", visible(name.substr(0, 64)))};
}

struct Router::Engine : httplib::Server {
  std::map<std::string, std::string> methods;  // of each path, for Allow
  const Headers* fields = nullptr;
  int status = 0;

  // HTTP's own words; httplib's end at those of 2022.
  static Reply no_handler(const httplib::Request& request, const Engine& engine) {
    const auto found = engine.methods.find(request.path);
    if (found == engine.methods.end()) return reply_of({404, "there is nothing of that name here"});
    return reply_of({405, str_cat("expected ", found->second), {{"Allow", found->second}}});
  }

  Engine() {
    set_error_handler(
        HandlerWithResponse([this](const httplib::Request& request, httplib::Response& response) {
          if (response.body.empty()) put(no_handler(request, *this), response);
          return HandlerResponse::Handled;
        }));
    set_post_routing_handler([this](const httplib::Request&, httplib::Response& response) {
      for (const auto& [name, value] : *fields) response.set_header(name, value);
      response.headers.erase("Keep-Alive");
      response.headers.erase("Accept-Ranges");
      status = response.status;
    });
  }

  std::string run(const std::string& head, bool close) {
    MemoryStream stream(head);
    bool ignored = false;
    process_request(stream, close, ignored, nullptr);
    return std::move(stream.out);
  }
};

Router::Router() : engine_(std::make_unique<Engine>()) {}
Router::~Router() = default;
Router::Router(Router&&) noexcept = default;

void Router::on(const std::string& method, const std::string& path, Handler handler) {
  const auto handle = [handler = std::move(handler)](const httplib::Request& request,
                                                     httplib::Response& response) {
    const Query query{request.get_header_value("Accept"), {request.params.begin(), request.params.end()}};
    put(reply_to_failure([&] { return handler(query); }), response);
  };
  std::string& methods = engine_->methods[path];
  methods += (methods.empty() ? "" : ", ") + (method == "GET" ? "GET, HEAD" : method);
  if (method == "GET")
    engine_->Get(literally(path), handle);
  else  // the body is not httplib's to read
    engine_->Post(literally(path), [handle](const httplib::Request& request, httplib::Response& response,
                                            const httplib::ContentReader&) { handle(request, response); });
}

Answer Router::answer(const RequestHead& head, const Headers& fields, bool close, int& status) {
  engine_->fields = &fields;
  Answer out{engine_->run(head.for_httplib, close), close};
  status = engine_->status;
  if (out.bytes.empty()) {  // httplib could not read what request_head.h let pass
    status = 400;
    out = answer_without_request({400, "the request cannot be read"}, fields);
  }
  return out;
}

Answer answer_without_request(const Problem& problem, const Headers& fields, bool with_body) {
  const Reply reply = reply_of(problem);
  std::string bytes = str_cat("HTTP/1.1 ", reply.status, ' ', std::string(reason_of(reply.status)),
                              "\r\nConnection: close\r\nContent-Length: ", reply.body.size(),
                              "\r\nContent-Type: ", reply.type, "\r\n");
  for (const Headers* all : {&reply.headers, &fields})
    for (const auto& [name, value] : *all) bytes += str_cat(name, ": ", value, "\r\n");
  bytes += "\r\n";
  if (with_body) bytes += reply.body;
  return {std::move(bytes), true};
}

}  // namespace atrous::serve
