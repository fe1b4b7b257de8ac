// The one exception type of the library, and the one way to throw it.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace atrous {

enum class ErrorCode {
  invalid_argument,  // the caller asked for something that cannot be
  io,                // a file could not be opened, read, written or renamed
  malformed,         // a file is not what its format says
  unsupported,       // well-formed, but outside what atrous does
  limit,             // a size, count or memory cap would be exceeded
  mismatch,          // a checkpoint does not fit the network it claims to be
  not_finite,        // a network's values overflowed: its logits are infinite or no numbers
};

// Every failure of the library: a code for programs and a sentence for people. The sentence names the
// offending thing and, where two numbers disagree, both.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& sentence) : std::runtime_error(sentence), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

// Joins its arguments as operator<< prints them: text("expected ", 3, ", found ", n).
template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream out;
  out.exceptions(std::ios::badbit);  // without it a stream that runs out of memory cuts the text short
  (out << ... << parts);
  return std::move(out).str();
}

template <class... Parts>
[[noreturn]] void fail(ErrorCode code, const Parts&... parts) {
  throw Error(code, text(parts...));
}

}  // namespace atrous
