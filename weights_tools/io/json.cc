#include "weights_tools/io/json.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "layers/base/error.h"
#include "weights_tools/io/clean_text.h"

namespace atrous {

namespace {

using Library = nlohmann::json;

// They are looked through one by one.
constexpr std::size_t most_keys = 1000;

// Receives nlohmann-json's events; false ends the parsing.
class TreeBuilder final : public nlohmann::json_sax<Library> {
 public:
  TreeBuilder(int depth, std::string_view name) : depth_(depth), name_(name) {}
  Json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(std::int64_t{value}); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      return add(std::uint64_t{value});
    return add(static_cast<std::int64_t>(value));
  }
  bool number_float(number_float_t value, const string_t&) override { return add(double{value}); }
  bool string(string_t& value) override { return add(std::make_unique<std::string>(std::move(value))); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(std::make_unique<Json::Object>()); }
  bool start_array(std::size_t) override { return open(std::make_unique<Json::List>()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    const Json::Object& members = *open_.back()->object();
    if (members.size() == most_keys)
      fail(ErrorCode::malformed, name_, " has an object of more than ", most_keys, " keys");
    if (std::ranges::find(members, name, &JsonMember::key) != members.end())
      fail(ErrorCode::malformed, name_, " has the key ", printable(name), " twice");
    key_ = std::move(name);
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

 private:
  Json& place() {
    if (open_.empty()) return root_;
    Json::Value& around = open_.back()->value;
    if (const auto* list = std::get_if<Json::Box<Json::List>>(&around)) return (*list)->emplace_back();
    Json::Object& members = *std::get<Json::Box<Json::Object>>(around);
    members.push_back({std::move(key_), {}});
    return members.back().value;
  }
  bool add(Json::Value value) {
    place().value = std::move(value);
    return true;
  }
  bool open(Json::Value value) {
    if (open_.size() == static_cast<std::size_t>(depth_))
      fail(ErrorCode::malformed, name_, " nests too deep");
    Json& here = place();
    here.value = std::move(value);
    open_.push_back(&here);
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  const int depth_;
  const std::string_view name_;
  Json root_;
  std::vector<Json*> open_;  // whose entries come; none of them moves before it is closed
  std::string key_;
};

}  // namespace

std::optional<double> Json::number() const {
  if (const auto* v = std::get_if<double>(&value)) return *v;
  if (const auto* v = std::get_if<std::int64_t>(&value)) return static_cast<double>(*v);
  if (const auto* v = std::get_if<std::uint64_t>(&value)) return static_cast<double>(*v);
  return std::nullopt;
}

const Json* Json::find(std::string_view key) const {
  if (!object()) return nullptr;
  const auto found = std::ranges::find(*object(), key, &JsonMember::key);
  return found == object()->end() ? nullptr : &found->value;
}

std::optional<Json> parse_json(std::string_view json, int depth, std::string_view name) {
  // The library takes a NUL for the end; other readers would see what follows.
  if (json.find('\0') != json.npos) return std::nullopt;
  TreeBuilder builder(depth, name);
  nlohmann::json_sax<Library>* const events = &builder;  // one parser for all that receive them
  if (!Library::sax_parse(json.begin(), json.end(), events)) return std::nullopt;
  return builder.take();
}

std::string json_text(const Json& json) {
  struct Writer {
    std::string operator()(std::nullptr_t) const { return "null"; }
    std::string operator()(bool v) const { return v ? "true" : "false"; }
    std::string operator()(std::int64_t v) const { return json_number(v); }
    std::string operator()(std::uint64_t v) const { return json_number(v); }
    std::string operator()(double v) const { return json_number(v); }
    std::string operator()(const Json::Box<std::string>& v) const { return json_string(*v, Utf8::replaced); }
    std::string operator()(const Json::Box<Json::List>& v) const { return json_list(*v, json_text); }
    std::string operator()(const Json::Box<Json::Object>& v) const {
      std::string out = "{";
      for (const JsonMember& m : *v) {
        if (out.size() > 1) out += ',';
        out.append(json_string(m.key, Utf8::replaced)).append(":").append(json_text(m.value));
      }
      return out += '}';
    }
  };
  return std::visit(Writer(), json.value);
}

std::string json_string(std::string_view value, Utf8 utf8) {
  if (utf8 != Utf8::required)
    return Library(value).dump(-1, ' ', utf8 == Utf8::ascii, Library::error_handler_t::replace);
  try {
    return Library(value).dump();
  } catch (const Library::exception&) {
    fail(ErrorCode::invalid_argument, printable(value), " is not UTF-8, and JSON holds nothing else");
  }
}

std::string json_number(double value) {
  return Library(value).dump();  // of a double: null where it is not finite
}

std::string json_object(std::initializer_list<std::pair<std::string_view, std::string>> members) {
  std::string out = "{";
  for (const auto& [key, value] : members) {
    if (out.size() > 1) out += ',';
    out.append("\"").append(key).append("\":").append(value);
  }
  return out += '}';
}

}  // namespace atrous
