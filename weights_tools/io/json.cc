#include "weights_tools/io/json.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <span>

#include "layers/base/error.h"
#include "weights_tools/io/clean_text.h"

namespace atrous {

namespace {

using Library = nlohmann::json;

// They are looked through one by one.
constexpr std::size_t most_keys = 1000;

// Passes nlohmann-json's events on.
class EventAdaptor {
 public:
  explicit EventAdaptor(JsonEvents& events) : events_(events) {}

  bool null() { return events_.null(), true; }
  bool boolean(bool value) { return events_.boolean(value), true; }
  bool number_integer(std::int64_t value) { return events_.negative_integer(value), true; }
  bool number_unsigned(std::uint64_t value) { return events_.natural_number(value), true; }
  bool number_float(double value, const std::string& digits) {
    return events_.floating_point(value, digits), true;
  }
  bool string(std::string& value) { return events_.string(value), true; }
  bool binary(Library::binary_t&) { return false; }  // not in JSON
  bool start_object(std::size_t) { return events_.start_object(), true; }
  bool key(std::string& name) { return events_.key(name), true; }
  bool end_object() { return events_.end_object(), true; }
  bool start_array(std::size_t) { return events_.start_list(), true; }
  bool end_array() { return events_.end_list(), true; }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) {
    return events_.malformed(position), false;
  }

 private:
  JsonEvents& events_;
};

class TreeBuilder final : public JsonEvents {
 public:
  TreeBuilder(int depth, std::string_view name) : depth_(depth), name_(name) {}
  std::optional<Json> take() {
    if (malformed_) return std::nullopt;
    return std::move(root_);
  }

  void null() override { add(nullptr); }
  void boolean(bool value) override { add(value); }
  void negative_integer(std::int64_t value) override { add(value); }
  void natural_number(std::uint64_t value) override {
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      add(value);
    else
      add(static_cast<std::int64_t>(value));
  }
  void floating_point(double value, std::string_view) override { add(value); }
  void string(std::string& value) override { add(std::make_unique<std::string>(std::move(value))); }
  void start_object() override { open(std::make_unique<Json::Object>()); }
  void start_list() override { open(std::make_unique<Json::List>()); }
  void end_object() override { open_.pop_back(); }
  void end_list() override { open_.pop_back(); }
  void key(std::string& name) override {
    const Json::Object& members = *open_.back()->object();
    if (members.size() == most_keys)
      fail(ErrorCode::malformed, name_, " has an object of more than ", most_keys, " keys");
    if (std::ranges::find(members, name, &JsonMember::key) != members.end())
      fail(ErrorCode::malformed, name_, " has the key ", printable(name), " twice");
    key_ = std::move(name);
  }
  void malformed(std::size_t) override { malformed_ = true; }

 private:
  Json& place() {
    if (open_.empty()) return root_;
    Json::Value& around = open_.back()->value;
    if (const auto* list = std::get_if<Json::Box<Json::List>>(&around)) return (*list)->emplace_back();
    Json::Object& members = *std::get<Json::Box<Json::Object>>(around);
    members.push_back({std::move(key_), {}});
    return members.back().value;
  }
  void add(Json::Value value) { place().value = std::move(value); }
  void open(Json::Value value) {
    if (open_.size() == static_cast<std::size_t>(depth_))
      fail(ErrorCode::malformed, name_, " nests too deep");
    Json& here = place();
    here.value = std::move(value);
    open_.push_back(&here);
  }

  const int depth_;
  const std::string_view name_;
  bool malformed_ = false;
  Json root_;
  std::vector<Json*> open_;  // whose entries come; none of them moves before it is closed
  std::string key_;
};

struct ValueWriter {
  JsonText operator()(const auto& v) const { return JsonText(v); }
  JsonText operator()(const Json::Box<std::string>& v) const { return JsonText(*v); }
  JsonText operator()(const Json::Box<Json::List>& v) const { return json_list(*v, json_text); }
  JsonText operator()(const Json::Box<Json::Object>& v) const {
    JsonText out = json_object();
    for (const JsonMember& m : *v) add_member(out, m.key, json_text(m.value));
    return out;
  }
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

void parse_json(std::string_view json, JsonEvents& events) {
  EventAdaptor adaptor(events);
  Library::sax_parse(json.begin(), json.end(), &adaptor);
}

void parse_json(std::istream& stream, JsonEvents& events) {
  EventAdaptor adaptor(events);
  Library::sax_parse(stream, &adaptor);
}

std::optional<Json> parse_json(std::string_view json, int depth, std::string_view name) {
  if (json.find('\0') != json.npos) return std::nullopt;
  TreeBuilder builder(depth, name);
  parse_json(json, builder);
  return builder.take();
}

std::string JsonText::digits_of(double value) {
  return Library(value).dump();  // of a double: null where it is not finite
}

std::string JsonText::quoted(std::string_view value) { return json_string(value, Utf8::replaced).text; }

JsonText json_string(std::string_view value, Utf8 utf8) {
  if (utf8 != Utf8::required)
    return JsonText::verbatim(
        Library(value).dump(-1, ' ', utf8 == Utf8::ascii, Library::error_handler_t::replace));
  try {
    return JsonText::verbatim(Library(value).dump());
  } catch (const Library::exception&) {
    fail(ErrorCode::invalid_argument, printable(value), " is not UTF-8, and JSON holds nothing else");
  }
}

JsonText json_text(const Json& json) { return std::visit(ValueWriter(), json.value); }

JsonText json_list(std::initializer_list<JsonText> entries) {
  return json_list(std::span<const JsonText>(entries), std::identity());
}

JsonText json_object(std::initializer_list<std::pair<std::string_view, JsonText>> members) {
  std::string out = "{";
  for (const auto& [key, value] : members) {
    if (out.size() > 1) out += ',';
    out.append("\"").append(key).append("\":").append(value.text);
  }
  return JsonText::verbatim(out += '}');
}

void add_member(JsonText& object, std::string_view key, const JsonText& value, Utf8 utf8) {
  const std::string name = json_string(key, utf8).text;
  std::string& out = object.text;
  out.back() = ',';
  if (out.size() == 2) out.pop_back();
  out.append(name).append(":").append(value.text).append("}");
}

std::string indented(const JsonText& json) {
  std::string out;
  std::size_t level = 0;
  const auto new_line = [&] { out.append("\n").append(2 * level, ' '); };
  bool in_string = false, escaped = false;
  char before = 0;
  for (const char c : json.text) {
    if (in_string) {
      out += c;
      in_string = escaped || c != '"';
      escaped = !escaped && c == '\\';
    } else if (c == '}' || c == ']') {
      --level;
      if (before != '{' && before != '[') new_line();
      out += c;
    } else {
      if (before == '{' || before == '[') new_line();
      out += c;
      if (c == '{' || c == '[') ++level;
      if (c == ',') new_line();
      if (c == ':') out += ' ';
      in_string = c == '"';
    }
    before = c;
  }
  return out;
}

}  // namespace atrous
