// httplib at work on one request that is there as a whole: it parses the request line, the query and the
// fields, finds the handler and writes the answer. Sockets, threads and limits are not its own
// (connections.h).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "runtime/serve/connections.h"
#include "runtime/serve/problem.h"
#include "runtime/serve/request_head.h"

namespace atrous::serve {

// What a handler sees of a request.
struct Query {
  std::string accept;
  std::multimap<std::string, std::string> parameters;

  // Empty where there is none. Problem(400) where a parameter is there twice.
  std::string parameter(const std::string& name) const;
  // Problem(400), with the name, for a parameter that is none of these.
  void check_parameters(std::initializer_list<std::string_view> known) const;
};

using Handler = std::function<Reply(const Query&)>;

// Not for two threads at once.
class Router {
 public:
  Router();
  ~Router();
  Router(Router&&) noexcept;

  // method: GET, which answers HEAD too, or POST. path: as it stands in the target.
  void on(const std::string& method, const std::string& path, Handler);

  // The answer to a request, its head's status in `status`: a handler's, or 404, 405 with Allow, and a
  // Problem's or an Error's as application/problem+json. `fields` go with every answer.
  Answer answer(const RequestHead&, const Headers& fields, bool close, int& status);

 private:
  struct Engine;
  std::unique_ptr<Engine> engine_;
};

// The same bytes for a request that httplib does not see: the connection ends behind them.
Answer answer_without_request(const Problem&, const Headers& fields, bool with_body = true);

}  // namespace atrous::serve
