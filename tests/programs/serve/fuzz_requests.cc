// Made-up heads of requests: each is refused, or answered by httplib in whole, with fields that nothing in
// the request could have split.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "runtime/serve/output.h"
#include "runtime/serve/problem.h"
#include "runtime/serve/request_head.h"
#include "runtime/serve/router.h"

namespace {

using namespace atrous::serve;

void promise(bool kept) {
  if (!kept) std::abort();
}

Router router() {
  Router out;
  const auto handle = [](const Query& query) {
    query.check_parameters({"output", "include", "name", "score"});
    parts_of_include(query.parameter("include"));
    const Wanted wanted = wanted_output(query.parameter("output"), query.accept);
    return Reply{200, wanted.type, query.parameter("name"), {}};
  };
  out.on("GET", "/", handle);
  out.on("POST", "/v1/segment", handle);
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Router answers = router();
  const std::string_view received(reinterpret_cast<const char*>(data), size);
  const auto length = head_length(received);
  if (!length) return 0;
  promise(*length <= size && received.substr(0, *length).ends_with("\r\n\r\n"));
  try {
    const RequestHead head = parse_head(received.substr(0, *length));
    int status = 0;
    const Answer answer =
        answers.answer(head, {{"X-Content-Type-Options", "nosniff"}}, !head.keep_alive, status);
    promise(status >= 200 && status < 600);
    promise(answer.bytes.starts_with("HTTP/1.1 "));
    const std::string_view fields =
        std::string_view(answer.bytes).substr(0, answer.bytes.find("\r\n\r\n") + 2);
    for (std::size_t i = 0; i < fields.size(); ++i)
      promise(static_cast<unsigned char>(fields[i]) >= ' ' || fields[i] == '\r' || fields[i] == '\n');
    promise(head.for_httplib.size() <= *length + 64);
  } catch (const Problem& problem) {
    promise(problem.status >= 400 && problem.status < 600 && !problem.detail.empty());
  }
  return 0;
}
