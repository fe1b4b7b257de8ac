#include "runtime/evaluation/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <optional>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include "weights_tools/io/clean_text.h"
#include "weights_tools/io/deflate.h"
#include "weights_tools/io/file.h"

namespace atrous {

namespace {

constexpr int journal_version = 1, deepest_line = 8;
constexpr std::size_t longest_line = std::size_t{1} << 28, journal_piece = std::size_t{1} << 20;
constexpr std::string_view line_start = "{\"crc32\":\"", after_digits = "\",";
constexpr std::size_t checked_from = line_start.size() + 8 + after_digits.size();

std::string crc32_digits(std::string_view bytes) {
  const std::uint32_t sum = crc32(std::as_bytes(std::span(bytes)));
  std::string digits;
  for (int shift = 28; shift >= 0; shift -= 4) digits += "0123456789abcdef"[sum >> shift & 15u];
  return digits;
}

bool is_intact(std::string_view line) {
  return line.size() > checked_from && line.starts_with(line_start) &&
         line.substr(line_start.size())
             .starts_with(str_cat(crc32_digits(line.substr(checked_from)), after_digits));
}

[[noreturn]] void fail_journal(const std::string& path, std::string_view action) {
  fail(ErrorCode::io, path, ": cannot ", action, ": ", std::generic_category().message(errno));
}

std::string in_words(const Shard& shard) { return str_cat(shard.number, " of ", shard.count); }

// A head that was not written to its end: nothing else is in the file.
bool is_torn_head(std::string_view content) {
  return content.find('\n') == content.npos &&
         content.substr(0, line_start.size()) == line_start.substr(0, content.size());
}

}  // namespace

JsonText state_number(double value) {
  char digits[40];
  const char* end = std::to_chars(digits, digits + sizeof digits, value, std::chars_format::hex).ptr;
  return std::string_view(digits, end);
}

JsonText state_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= ' ' && byte < 0x7f && c != '%')
      out += c;
    else
      out += {'%', "0123456789ABCDEF"[byte >> 4], "0123456789ABCDEF"[byte & 15u]};
  }
  return out;
}

std::optional<RunDifference> difference_of(const RunFacts& first, const RunFacts& second) {
  for (const auto* all : {&first, &second})
    for (const auto& [what, ignored] : *all) {
      const auto value = [&what = what](const RunFacts& of) {
        const auto at = of.find(what);
        return at == of.end() ? "nothing" : at->second;
      };
      if (const std::string one = value(first), other = value(second); one != other)
        return RunDifference{printable(what), printable(one), printable(other)};
    }
  return std::nullopt;
}

// ---- values

const Json& StateReader::member(const Json& json, std::string_view key) const {
  const Json* found = json.find(key);
  if (!found) refuse("has no ", key);
  return *found;
}

const Json::List& StateReader::list(const Json& json, std::string_view key) const {
  const Json::List* values = member(json, key).list();
  if (!values) refuse(key, " is not a list");
  return *values;
}

std::int64_t StateReader::integer(const Json& json, std::int64_t low, std::int64_t high,
                                  std::string_view what) const {
  const std::int64_t* value = json.integer();
  if (!value || *value < low || *value > high)
    refuse(what, " is ", printable(json_text(json).text), ", expected ", low, " to ", high);
  return *value;
}

double StateReader::number(const Json& json, std::string_view what) const {
  const std::string digits = json.string() ? *json.string() : "";
  const char* end = digits.data() + digits.size();
  double value = 0;
  const auto [stop, error] = std::from_chars(digits.data(), end, value, std::chars_format::hex);
  if (error != std::errc() || stop != end)
    refuse(what, " is ", printable(json_text(json).text), ", expected a hexadecimal number");
  return value;
}

std::string StateReader::plain_text(const Json& json, std::string_view key) const {
  const std::string* value = member(json, key).string();
  if (!value) refuse(key, " is not a text");
  return *value;
}

std::string StateReader::text_of(const Json& json, std::string_view what) const {
  if (!json.string()) refuse(what, " is not a text");
  const std::string& coded = *json.string();
  std::string out;
  for (std::size_t i = 0; i < coded.size(); ++i) {
    if (coded[i] != '%') {
      out += coded[i];
      continue;
    }
    unsigned byte = 0;
    const char* digits = coded.data() + i + 1;
    if (i + 2 >= coded.size() || std::from_chars(digits, digits + 2, byte, 16).ptr != digits + 2)
      refuse(what, " is ", printable(coded), ", expected two digits after each %");
    out += static_cast<char>(byte);
    i += 2;
  }
  return out;
}

// ---- heads

std::string StateReader::kind(const Json& head) const { return plain_text(head, "kind"); }

Shard StateReader::shard(const Json& head) const {
  const Json::List& two = list(head, "shard");
  if (two.size() != 2) refuse("shard is no pair");
  constexpr std::int64_t most = 1'000'000;
  const std::int64_t count = integer(two[1], 1, most, "shards");
  return {static_cast<std::size_t>(integer(two[0], 1, count, "shard")), static_cast<std::size_t>(count)};
}

std::map<std::string, std::string> StateReader::identity(const Json& head) const {
  std::map<std::string, std::string> all;
  for (const Json& pair : list(head, "identity")) {
    const Json::List* two = pair.list();
    if (!two || two->size() != 2 || !(*two)[0].string() || !(*two)[1].string())
      refuse("identity has an entry that is no pair of texts");
    all.emplace(*(*two)[0].string(), *(*two)[1].string());
  }
  return all;
}

void StateReader::compare(const Json& head, const JournalHead& expected) const {
  if (kind(head) != expected.kind)
    fail(ErrorCode::mismatch, path, ": is the state of a run of kind ", printable(kind(head)), ", expected ",
         expected.kind);
  auto was = identity(head);
  std::map<std::string, std::string> is;
  for (const auto& [what, value] : expected.identity)
    is.emplace(what, *parse_json(JsonText(value).text, 1, "identity")->string());  // as the file's went
  was["shard"] = in_words(shard(head));
  is["shard"] = in_words(expected.shard);
  if (const auto other = difference_of(is, was))
    fail(ErrorCode::mismatch, path, ": is the state of another run: ", other->what, " was ", other->second,
         ", is ", other->first);
}

// ---- reading

std::uint64_t read_journal(const std::string& path, const std::function<bool(const Json&)>& take) try {
  const StateReader reader{path};
  const InputFile file(path);
  std::string pending;
  std::uint64_t offset = 0, whole = 0, line = 0;
  const auto take_line = [&](std::string_view text, bool is_last) {
    if (!is_intact(text)) {
      if (is_last && line > 0) return false;
      if (text.starts_with("{\"atrous_evaluation\"") || text.starts_with("{\"atrous_detections\""))
        reader.refuse(
            "is a state of an earlier version of atrous, which can not go on: begin with another file");
      if (line == 0 && !text.starts_with(line_start)) reader.refuse("is not the state of a run");
      reader.refuse("is damaged: the checksum of line ", line + 1, " does not fit");
    }
    const std::optional<Json> json = parse_json(text, deepest_line, path + ':');
    if (!json) reader.refuse("line ", line + 1, " is no JSON");
    if (line == 0) reader.integer(*json, "atrous_journal", journal_version, journal_version);
    ++line;
    return take(*json);
  };
  while (offset < file.size()) {
    const std::size_t kept = pending.size();
    const auto more = static_cast<std::size_t>(std::min<std::uint64_t>(journal_piece, file.size() - offset));
    pending.resize(kept + more);
    file.read(offset, std::as_writable_bytes(std::span(pending).subspan(kept)));
    offset += more;
    std::size_t from = 0;
    for (std::size_t end = 0; (end = pending.find('\n', std::max(from, kept))) != pending.npos;
         from = end + 1) {
      const bool is_last = offset == file.size() && end + 1 == pending.size();
      if (!take_line(std::string_view(pending).substr(from, end - from), is_last)) return whole;
      whole += end + 1 - from;
    }
    pending.erase(0, from);
    if (pending.size() > longest_line) reader.refuse("has a line of more than ", longest_line, " bytes");
  }
  if (line == 0) take_line(pending, false);
  return whole;
} catch (...) {
  rethrow_as_error();
}

// ---- writing

Journal::Journal(std::string path, const JournalHead& head, const std::function<void(const Json&)>& take) try
    : path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail_journal(path_, "open for writing");
  try {
    go_on(head, take);
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
} catch (...) {
  rethrow_as_error();
}

Journal::~Journal() {
  if (unsynced_ > 0) ::fdatasync(descriptor_);
  ::close(descriptor_);
}

void Journal::go_on(const JournalHead& head, const std::function<void(const Json&)>& take) {
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) fail(ErrorCode::io, path_, ": another process is at work on this state");
    fail_journal(path_, "lock");
  }
  std::vector<std::byte> start(journal_piece);
  const InputFile file(path_);
  start.resize(static_cast<std::size_t>(std::min<std::uint64_t>(start.size(), file.size())));
  file.read(0, start);
  if (is_torn_head({reinterpret_cast<const char*>(start.data()), start.size()})) return begin(head);
  const StateReader reader{path_};
  bool is_head = true;
  const std::uint64_t whole = read_journal(path_, [&](const Json& json) {
    if (std::exchange(is_head, false))
      reader.compare(json, head);
    else
      take(json);
    return true;
  });
  if (whole < file.size() && ::ftruncate(descriptor_, static_cast<off_t>(whole)) != 0)
    fail_journal(path_, "shorten");
}

void Journal::begin(const JournalHead& head) {
  if (::ftruncate(descriptor_, 0) != 0) fail_journal(path_, "shorten");
  write_line(json_object({{"atrous_journal", journal_version},
                          {"kind", head.kind},
                          {"shard", json_list({head.shard.number, head.shard.count})},
                          {"images", head.images},
                          {"identity", json_list(head.identity,
                                                 [](const auto& pair) {
                                                   return json_list({pair.first, pair.second});
                                                 })},
                          {"about", head.about}}));
  sync();
}

void Journal::append(const JsonText& record) try {
  write_line(record);
  if (++unsynced_ >= lines_a_sync) sync();
} catch (...) {
  rethrow_as_error();
}

void Journal::write_line(const JsonText& object) {
  const std::string_view rest = std::string_view(object.text).substr(1);
  const std::string line = str_cat(line_start, crc32_digits(rest), after_digits, rest, "\n");
  std::string_view left = line;
  while (!left.empty()) {
    const ssize_t put = ::write(descriptor_, left.data(), left.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail_journal(path_, "write");
    left.remove_prefix(static_cast<std::size_t>(put));
  }
}

void Journal::sync() try {
  unsynced_ = 0;
  if (::fdatasync(descriptor_) != 0) fail_journal(path_, "write");
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
