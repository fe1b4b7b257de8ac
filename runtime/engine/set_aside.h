// Bytes that a session's memory limit counts beside its own while this lives.
#pragma once

#include <cstddef>

#include "runtime/engine/session.h"

namespace atrous {

class SetAside {
 public:
  SetAside(Session& session, std::size_t bytes) : session_(session) { session_.set_aside(bytes); }
  ~SetAside() { session_.set_aside(0); }
  SetAside(const SetAside&) = delete;
  SetAside& operator=(const SetAside&) = delete;

 private:
  Session& session_;
};

}  // namespace atrous
