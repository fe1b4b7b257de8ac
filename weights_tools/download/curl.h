// One download by the system's curl, run as a process of its own: TLS, proxies and certificates stay its
// business, and nothing more is linked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "weights_tools/download/http_head.h"

namespace atrous {

struct CurlRequest {
  std::string url;               // begins with https:// or http://; redirects of the former stay on https
  std::uint64_t from = 0;        // first byte wanted; the server may ignore it
  std::string program = "curl";  // searched in PATH unless it has a slash
  int connect_seconds = 30;      // until connected
  int stall_seconds = 30;        // below 1000 bytes a second for that long is a failure
};

// Called in this order; what one throws ends curl and leaves run_curl.
struct CurlReader {
  std::function<bool(const HttpHead&)> head;             // once, of the last answer; false: stop here
  std::function<void(std::span<const std::byte>)> body;  // pieces of its body
  std::function<void()> tick;                            // about five times a second, whatever happens
};

struct CurlOutcome {
  int exit_code = -1;    // curl's (its manual lists them); -1: a signal ended it, or it was stopped
  bool stopped = false;  // because the reader did not want the body
  HttpHead head;         // the latest seen, perhaps a redirect's
  std::string said;      // curl's own words, fit for a terminal
};

// curl inherits the environment (proxies), but reads no configuration file. Error(io) when it cannot be
// started; curl's own failures are in the outcome.
CurlOutcome run_curl(const CurlRequest&, const CurlReader&);

}  // namespace atrous
