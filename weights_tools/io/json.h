// JSON that stands up to a failed allocation. nlohmann-json parses and escapes, but its trees are not used:
// to take one down it needs memory, and where there is none it ends the process. Values are read into trees
// of our own, and written as text from the start.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
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

// ---- Written: each returns JSON. An object's values and a list's entries are JSON already.

// A value as it may stand in a sentence.
std::string json_text(const Json&);

enum class Utf8 { required, replaced, ascii };  // ascii: replaced as well, and \u for what is beyond ASCII
// Error(invalid_argument) for what is not UTF-8 where it is required; U+FFFD stands for it elsewhere.
std::string json_string(std::string_view, Utf8 = Utf8::required);

std::string json_number(std::integral auto value) { return std::to_string(value); }
// The shortest digits that give the same double again, with a point where it is whole; null for what is not
// finite.
std::string json_number(double);

template <class Range, class One>
std::string json_list(const Range& values, One&& one) {
  std::string out = "[";
  for (const auto& v : values) {
    if (out.size() > 1) out += ',';
    out += one(v);
  }
  return out += ']';
}

// Keys are plain words.
std::string json_object(std::initializer_list<std::pair<std::string_view, std::string>>);

}  // namespace atrous
