#include "layers/networks/hyper.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "layers/base/error.h"

namespace atrous {

namespace {

constexpr std::size_t most_key = 64, most_value = 256, most_pairs = 32;

bool is_key(std::string_view key) {
  return !key.empty() && key.size() <= most_key && std::ranges::all_of(key, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

bool is_value(std::string_view value) {
  return !value.empty() && value.size() <= most_value &&
         std::ranges::all_of(value, [](char c) { return c > ' ' && c <= '~' && c != '='; });
}

[[noreturn]] void fail_form(std::string_view why) {
  fail(ErrorCode::invalid_argument, "expected KEY=VALUE[,KEY=VALUE], such as os=16, ", why);
}

template <class Values>
std::string joined(const Values& values, std::string_view between) {
  std::string out;
  for (const auto& value : values) {
    if (!out.empty()) out += between;
    if constexpr (std::is_convertible_v<decltype(value), std::string_view>)
      out += value;
    else
      out += std::to_string(value);
  }
  return out;
}

std::optional<std::int64_t> parse_integer(std::string_view word) {
  std::int64_t value = 0;
  const char* const end = word.data() + word.size();
  const auto parsed = std::from_chars(word.data(), end, value);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return value;
}

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  for (std::size_t end = 0; end != text.npos;) {
    end = text.find(at);
    parts.push_back(text.substr(0, end));
    if (end != text.npos) text.remove_prefix(end + 1);
  }
  return parts;
}

}  // namespace

Hyper::Hyper(std::string_view written) {
  if (written.empty()) return;
  if (written.size() > most_pairs * (most_key + most_value))
    fail_form(atrous::str_cat("found ", written.size(), " characters"));
  std::string* value = nullptr;
  for (const std::string_view part : split(written, ',')) {
    const std::size_t equals = part.find('=');
    if (equals == part.npos) {
      if (!value || part.empty()) fail_form("found a part without =");
      *value += ',';
      *value += part;
      continue;
    }
    const std::string_view key = part.substr(0, equals);
    if (!is_key(key)) fail_form("found a key that is not of letters, digits, - and _");
    const auto [place, is_new] = given_.emplace(key, part.substr(equals + 1));
    if (!is_new) fail_form(atrous::str_cat("found ", key, " twice"));
    value = &place->second;
  }
  if (given_.size() > most_pairs) fail_form(atrous::str_cat("found ", given_.size(), " keys"));
  for (const auto& [key, given] : given_)
    if (!is_value(given)) fail_form(atrous::str_cat("found no usable value of ", key));
}

std::string Hyper::text() const {
  std::string out;
  for (const auto& [key, value] : given_) out += (out.empty() ? "" : ",") + key + "=" + value;
  return out;
}

void Hyper::override_with(const Hyper& other) {
  for (const auto& [key, value] : other.given_) given_[key] = value;
}

const std::string* Hyper::find(std::string_view key) const {
  const auto found = given_.find(key);
  return found == given_.end() ? nullptr : &found->second;
}

// Notes the choice, once however often it is asked for, and returns what is given for it.
const std::string* Hyper::ask(std::string_view key, std::string assumed) {
  const std::string* given = find(key);
  if (std::ranges::find(choices_, key, &Choice::key) == choices_.end())
    choices_.push_back({std::string(key), given ? *given : std::move(assumed), given == nullptr});
  return given;
}

std::int64_t Hyper::integer(std::string_view key, std::int64_t assumed,
                            std::initializer_list<std::int64_t> may_be) {
  const std::string* given = ask(key, std::to_string(assumed));
  if (!given) return assumed;
  const auto value = parse_integer(*given);
  if (!value || std::ranges::find(may_be, *value) == may_be.end())
    fail(ErrorCode::invalid_argument, key, ": expected ", joined(may_be, " or "), ", found ", *given);
  return *value;
}

std::string Hyper::word(std::string_view key, std::string_view assumed,
                        std::initializer_list<std::string_view> may_be) {
  const std::string* given = ask(key, std::string(assumed));
  if (!given) return std::string(assumed);
  if (std::ranges::find(may_be, *given) == may_be.end())
    fail(ErrorCode::invalid_argument, key, ": expected ", joined(may_be, " or "), ", found ", *given);
  return *given;
}

std::string Hyper::any(std::string_view key, std::string_view assumed) {
  const std::string* given = ask(key, std::string(assumed));
  return given ? *given : std::string(assumed);
}

std::int64_t Hyper::between(std::string_view key, std::int64_t assumed, std::int64_t least,
                            std::int64_t most) {
  const std::string* given = ask(key, std::to_string(assumed));
  if (!given) return assumed;
  const auto value = parse_integer(*given);
  if (!value || *value < least || *value > most)
    fail(ErrorCode::invalid_argument, key, ": expected a whole number from ", least, " to ", most, ", found ",
         *given);
  return *value;
}

std::vector<std::int64_t> Hyper::integers(std::string_view key, const std::vector<std::int64_t>& assumed) {
  const std::string* given = ask(key, joined(assumed, ","));
  if (!given) return assumed;
  std::vector<std::int64_t> values;
  for (const std::string_view part : split(*given, ',')) values.push_back(parse_integer(part).value_or(0));
  if (values.size() != assumed.size() ||
      std::ranges::any_of(values, [](std::int64_t value) { return value < 1 || value > 1024; }))
    fail(ErrorCode::invalid_argument, key, ": expected ", assumed.size(), " whole numbers from 1 to 1024, ",
         "such as ", joined(assumed, ","), ", found ", *given);
  return values;
}

void Hyper::check_all_asked_for(std::string_view network) const {
  for (const auto& [key, value] : given_) {
    if (std::ranges::find(choices_, key, &Choice::key) != choices_.end()) continue;
    std::string keys;
    for (const Choice& choice : choices_) keys += (keys.empty() ? "" : ", ") + choice.key;
    fail(ErrorCode::invalid_argument, key, ": no choice of ", network, ", which has ",
         keys.empty() ? "none" : keys);
  }
}

}  // namespace atrous
