// What the states of interrupted runs have in common: evaluation_state.h, coco_state.h.
//
// JSON: {KIND: version, "sha256": of the state's text, "state": {"identity": [[what, value], ...], ...}}.
// Doubles are strings in hexadecimal ("1.8p+1"), which come back to the bit, infinities and all.
#pragma once

#include <cstdint>
#include <exception>
#include <map>
#include <string>
#include <string_view>

#include "layers/base/error.h"
#include "runtime/evaluation/run_identity.h"
#include "weights_tools/io/json.h"

namespace atrous {

JsonText state_number(double);
JsonText state_identity(const RunIdentity&);

// `kind`: the file's first key. Error(io) as write_file.
void write_state(const std::string& path, std::string_view kind, int version, const JsonText& state);

// Runs; where that fails, save() comes before the error: what has been measured is worth keeping, and that it
// could not be kept is not what went wrong first.
template <class Run, class Save>
void run_and_keep(Run&& run, Save&& save) {
  try {
    run();
  } catch (...) {
    try {
      save();
    } catch (const std::exception&) {
    }
    throw;
  }
}

// Reads a state's values, which may be anything: what they cannot be is Error(malformed) that begins with the
// path.
struct StateReader {
  const std::string& path;

  // The whole file. Error(io); Error(malformed) for any other kind of file or version and for a damaged one.
  Json read(std::string_view kind, int version) const;

  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... parts) const {
    fail(ErrorCode::malformed, path, ": ", parts...);
  }
  const Json& member(const Json& json, std::string_view key) const;
  const Json::List& list(const Json& json, std::string_view key) const;
  std::int64_t integer(const Json& json, std::int64_t low, std::int64_t high, std::string_view what) const;
  double number(const Json& json, std::string_view what) const;
  // Error(mismatch), naming what differs with both values, for the state of another run.
  void compare_identity(const Json& state, const RunIdentity& expected) const;

 private:
  // {"model": "a sha256", ...}
  std::map<std::string, std::string> pairs(const Json::List& identity) const;
};

}  // namespace atrous
