// JSON that stands up to a failed allocation. nlohmann-json parses and escapes, but its trees are not used:
// to take one down it needs memory, and where there is none it ends the process. Values are read into trees
// of our own, and written as text from the start. Nothing else includes nlohmann-json.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace atrous {

struct JsonMember;

struct Json {
  using List = std::vector<Json>;
  using Object = std::vector<JsonMember>;  // as in the file; no key is there twice
  template <class T>
  using Box = std::unique_ptr<T>;  // 16 bytes a value: a file has one for every two of its bytes, perhaps
  // Integers are an int64 where they fit, a uint64 above.
  using Value = std::variant<std::nullptr_t, bool, std::int64_t, std::uint64_t, double, Box<std::string>,
                             Box<List>, Box<Object>>;
  Value value = nullptr;

  bool is_null() const { return std::holds_alternative<std::nullptr_t>(value); }
  // Null where the value is of another kind.
  const std::int64_t* integer() const { return std::get_if<std::int64_t>(&value); }
  const std::string* string() const { return boxed<std::string>(); }
  const List* list() const { return boxed<List>(); }
  const Object* object() const { return boxed<Object>(); }
  std::optional<double> number() const;  // integers too
  // Null where this is no object, or has no such key.
  const Json* find(std::string_view key) const;

 private:
  template <class T>
  const T* boxed() const {
    const Box<T>* box = std::get_if<Box<T>>(&value);
    return box ? box->get() : nullptr;
  }
};

struct JsonMember {
  std::string key;
  Json value;
};

// Nothing for what is not JSON in UTF-8. Error(malformed), the sentence beginning with `name`, where more
// than `depth` lists and objects lie in each other, or an object has a key twice or more than 1000 of them.
std::optional<Json> parse_json(std::string_view, int depth, std::string_view name);

// Receives what JSON holds, in the file's order, where no tree is wanted: the file is large, or its sentences
// name places in it. Functions that throw end the parsing. Strings may be moved from.
class JsonEvents {
 public:
  virtual ~JsonEvents() = default;
  virtual void null() = 0;
  virtual void boolean(bool) = 0;
  virtual void negative_integer(std::int64_t) = 0;
  virtual void natural_number(std::uint64_t) = 0;
  virtual void floating_point(double, std::string_view digits) = 0;
  virtual void string(std::string&) = 0;
  virtual void start_object() = 0;
  virtual void key(std::string&) = 0;
  virtual void end_object() = 0;
  virtual void start_list() = 0;
  virtual void end_list() = 0;
  // From this byte on the text is no JSON in UTF-8; the last event.
  virtual void malformed(std::size_t position) = 0;
};
// A NUL ends the text: whoever takes text from outside refuses those that hold one.
void parse_json(std::string_view, JsonEvents&);
void parse_json(std::istream&, JsonEvents&);

// ---- Written

enum class Utf8 { required, replaced, ascii };  // ascii: replaced as well, and \u for what is beyond ASCII

// JSON as it is written, without spaces. Numbers, strings and what may be missing become JSON by themselves:
// doubles in the shortest digits that give the same double again, with a point where they are whole, and null
// where they are not finite; bytes of a string that are not UTF-8 as U+FFFD (json_string has other ways).
struct JsonText {
  std::string text = "null";

  JsonText() = default;
  JsonText(std::nullptr_t) {}
  JsonText(std::same_as<bool> auto value) : text(value ? "true" : "false") {}
  JsonText(std::integral auto value) requires(!std::same_as<decltype(value), bool>)
      : text(std::to_string(value)) {}
  JsonText(std::floating_point auto value) : text(digits_of(static_cast<double>(value))) {}
  template <std::convertible_to<std::string_view> S>
  JsonText(const S& value) : text(quoted(value)) {}
  template <class T>
  JsonText(const std::optional<T>& value) : JsonText(value ? JsonText(*value) : JsonText()) {}

  // JSON that is there already.
  static JsonText verbatim(std::string json) {
    JsonText out;
    out.text = std::move(json);
    return out;
  }

 private:
  static std::string digits_of(double);
  static std::string quoted(std::string_view);
};

// Error(invalid_argument) for what is not UTF-8 where it is required; U+FFFD stands for it elsewhere.
JsonText json_string(std::string_view, Utf8);
JsonText json_text(const Json&);

JsonText json_list(std::initializer_list<JsonText> entries);
// A list of what `one` makes of each value.
template <class Range, class One>
JsonText json_list(const Range& values, One&& one) {
  std::string out = "[";
  for (const auto& v : values) {
    if (out.size() > 1) out += ',';
    out += JsonText(one(v)).text;
  }
  return JsonText::verbatim(out += ']');
}
template <class Range>
JsonText json_list(const Range& values) {
  return json_list(values, [](const auto& v) { return JsonText(v); });
}

// Keys are plain words.
JsonText json_object(std::initializer_list<std::pair<std::string_view, JsonText>> members = {});
// One more member, with any key, at the end of an object.
void add_member(JsonText& object, std::string_view key, const JsonText& value, Utf8 = Utf8::replaced);

// The same JSON for people too: a line for each entry and each member, two spaces for each level, and a space
// behind colons.
std::string indented(const JsonText&);

}  // namespace atrous
