// atrous-serve: one model behind HTTP. README.md says what it answers.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "runtime/engine/session.h"
#include "runtime/segment/model.h"
#include "runtime/serve/connections.h"
#include "runtime/serve/guard.h"
#include "runtime/serve/photo_request.h"

namespace atrous::serve {

struct ServerOptions {
  ListenAddress listen = {"127.0.0.1", 8080};
  std::vector<std::string> hosts = {};  // further names of this machine
  Origins origins = {};
  Tokens tokens = {};
  std::string model_name = "default";
  std::size_t sessions = 2;
  SessionOptions session = {};                // of each
  std::size_t queue = 32;                     // photos that wait for a session
  std::uint64_t max_body = 32'000'000;        // bytes
  std::int64_t max_pixels = 50'000'000;       // width * height
  std::chrono::milliseconds timeout{30'000};  // that a photo may wait for a session
  Refinements refinements = {};
  std::string log = {};  // the access log's file, "-" for standard output; empty: none
  ConnectionLimits connections = {};
};

// Listens, says the port to `listening`, and serves until `stopping` says so; then answers what has come, and
// returns. Errors as Connections.
void serve(const Model&, const ServerOptions&, const std::function<void(int port)>& listening,
           const std::function<bool()>& stopping);

}  // namespace atrous::serve
