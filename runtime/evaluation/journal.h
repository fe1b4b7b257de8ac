// The state of a run that may end at any time: a file of lines, each JSON, to which every image that is done
// adds one. The first line is the head and says of what run the file is:
//
//   {"crc32":"89abcdef","atrous_journal":1,"kind":"evaluation","shard":[2,7],"images":1449,
//    "identity":[[what, value], ...],"about":{...}}
//   {"crc32":"01234567",...}                                       a record, in the order of the shard's
//   images
//
// crc32 is that of the line's bytes behind its comma. Doubles are strings in hexadecimal ("1.8p+1"), which
// come back to the bit, infinities and all; names are percent-encoded, whatever their bytes. A line is
// written by one call, so that a process that is killed loses what it had not done. A last line that is not
// whole is dropped.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "layers/base/error.h"
#include "runtime/evaluation/run_identity.h"
#include "runtime/evaluation/shard.h"
#include "weights_tools/io/json.h"

namespace atrous {

JsonText state_number(double);
JsonText state_text(std::string_view);  // percent-encoded: what is no printable ASCII, and %

struct JournalHead {
  std::string_view kind;  // "evaluation"
  Shard shard;
  std::size_t images = 0;  // of all shards
  RunIdentity identity;
  JsonText about = json_object();  // what merging needs to know of the run
};

// Where two runs differ: in what, and both values, fit to be printed; of a run without one it is "nothing".
struct RunDifference {
  std::string what, first, second;
};
using RunFacts = std::map<std::string, std::string>;
std::optional<RunDifference> difference_of(const RunFacts& first, const RunFacts& second);

// Reads a state's values, which may be anything: what they cannot be is Error(malformed) that begins with the
// path.
struct StateReader {
  const std::string& path;

  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... parts) const {
    fail(ErrorCode::malformed, path, ": ", parts...);
  }
  const Json& member(const Json& json, std::string_view key) const;
  const Json::List& list(const Json& json, std::string_view key) const;
  std::int64_t integer(const Json& json, std::int64_t low, std::int64_t high, std::string_view what) const;
  std::int64_t integer(const Json& json, std::string_view key, std::int64_t low, std::int64_t high) const {
    return integer(member(json, key), low, high, key);
  }
  double number(const Json& json, std::string_view what) const;
  std::string text_of(const Json& json, std::string_view what) const;  // state_text() backwards
  std::string text(const Json& json, std::string_view key) const { return text_of(member(json, key), key); }
  std::string plain_text(const Json& json, std::string_view key) const;

  // Of a head.
  std::string kind(const Json& head) const;
  Shard shard(const Json& head) const;
  // {"model": "a sha256", ...}
  std::map<std::string, std::string> identity(const Json& head) const;
  // Error(mismatch), naming what differs with both values, for the state of another run.
  void compare(const Json& head, const JournalHead& expected) const;
};

// Calls `take` with each line, the head first, until it returns false. Returns the bytes of the lines that
// are whole. Error(io) for a file that cannot be read; Error(malformed) for any other kind of file or
// version, and for a line that is damaged and not the last.
std::uint64_t read_journal(const std::string& path, const std::function<bool(const Json&)>& take);

// A journal that grows, of one process at a time. Every `lines_a_sync` records and at the end they are on the
// disk; until then they outlive the process, not the machine.
class Journal {
 public:
  static constexpr int lines_a_sync = 100;

  // Calls `take` with each record of the file that is there already, or begins one. Error(io) naming the path
  // for a file that cannot be read or written, or that another process has; Error(mismatch), naming what
  // differs with both values, for the state of another run; Error(malformed) as read_journal().
  Journal(std::string path, const JournalHead&, const std::function<void(const Json&)>& take);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  void append(const JsonText& record);  // an object; Error(io)
  void sync();                          // Error(io)

 private:
  void begin(const JournalHead&);
  void go_on(const JournalHead&, const std::function<void(const Json&)>& take);
  void write_line(const JsonText&);

  std::string path_;
  int descriptor_ = -1, unsynced_ = 0;
};

}  // namespace atrous
