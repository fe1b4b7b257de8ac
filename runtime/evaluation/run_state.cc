#include "runtime/evaluation/run_state.h"

#include <charconv>
#include <optional>
#include <span>

#include "weights_tools/io/clean_text.h"
#include "weights_tools/io/file.h"
#include "weights_tools/io/sha256.h"

namespace atrous {

namespace {

constexpr std::uint64_t largest_state = std::uint64_t{1} << 30;
constexpr int deepest_state = 7;

std::string digest_of(std::string_view body) { return sha256_of_bytes(std::as_bytes(std::span(body))); }

}  // namespace

JsonText state_number(double value) {
  char digits[40];
  const char* end = std::to_chars(digits, digits + sizeof digits, value, std::chars_format::hex).ptr;
  return std::string_view(digits, end);
}

JsonText state_identity(const RunIdentity& identity) {
  return json_list(identity, [](const auto& pair) { return json_list({pair.first, pair.second}); });
}

void write_state(const std::string& path, std::string_view kind, int version, const JsonText& state) {
  const std::string file = str_cat("{\"", kind, "\": ", version, ", \"sha256\": \"", digest_of(state.text),
                                   "\",\n\"state\": ", state.text, "}\n");
  write_file(path, std::as_bytes(std::span(file)));
}

Json StateReader::read(std::string_view kind, int version) const {
  const std::vector<std::byte> file = read_file(path, largest_state);
  const std::string_view content(reinterpret_cast<const char*>(file.data()), file.size());
  std::optional<Json> json = parse_json(content, deepest_state, path + ':');
  const Json* found = json ? json->find(kind) : nullptr;
  if (!found) refuse("is not the state of an evaluation");
  if (!found->integer() || *found->integer() != version)
    refuse("is of version ", printable(json_text(*found).text), ", expected ", version);
  const std::string* checksum = member(*json, "sha256").string();
  if (!checksum || *checksum != digest_of(json_text(member(*json, "state")).text))
    refuse("is damaged: its sha256 does not fit");
  return *std::move(json);
}

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

std::map<std::string, std::string> StateReader::pairs(const Json::List& identity) const {
  std::map<std::string, std::string> all;
  for (const Json& pair : identity) {
    const Json::List* two = pair.list();
    if (!two || two->size() != 2 || !(*two)[0].string() || !(*two)[1].string())
      refuse("identity has an entry that is no pair of texts");
    all.emplace(*(*two)[0].string(), *(*two)[1].string());
  }
  return all;
}

void StateReader::compare_identity(const Json& state, const RunIdentity& expected) const {
  // Through text once, as the file's went.
  const std::optional<Json> now = parse_json(state_identity(expected).text, 2, "identity");
  const auto was = pairs(list(state, "identity")), is = pairs(*now->list());
  const auto value = [](const auto& all, const std::string& what) {
    const auto at = all.find(what);
    return at == all.end() ? "nothing" : at->second;
  };
  for (const auto& all : {is, was})
    for (const auto& [what, ignored] : all) {
      const std::string before = value(was, what), after = value(is, what);
      if (before != after)
        fail(ErrorCode::mismatch, path, ": is the state of another run: ", printable(what), " was ",
             printable(before), ", is ", printable(after));
    }
}

}  // namespace atrous
