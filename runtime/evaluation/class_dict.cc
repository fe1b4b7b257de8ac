#include "runtime/evaluation/class_dict.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <map>
#include <optional>
#include <utility>

#include "layers/base/ascii.h"
#include "layers/base/error.h"
#include "runtime/evaluation/dataset_classes.h"
#include "runtime/image/palette.h"
#include "weights_tools/io/bytes.h"
#include "weights_tools/io/clean_text.h"
#include "weights_tools/io/file.h"
#include "weights_tools/io/lines.h"

namespace atrous {

namespace {

constexpr std::size_t name_limit = 256, class_limit = 255;
constexpr std::uint64_t file_limit = std::uint64_t{1} << 20;
constexpr std::string_view separators = ",;\t";

using Fields = std::vector<std::string_view>;

std::string_view unquoted(std::string_view field) {
  field = trimmed(field);
  if (field.size() >= 2 && field.front() == '"' && field.back() == '"')
    return trimmed(field.substr(1, field.size() - 2));
  return field;
}

// Parted by the first of the separators that the line has; none within double quotes parts.
Fields fields_of(std::string_view line) {
  const std::size_t first = line.find_first_of(separators);
  const char separator = first == line.npos ? ',' : line[first];
  Fields fields;
  bool quoted = false;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '"') quoted = !quoted;
    if (line[i] != separator || quoted) continue;
    fields.push_back(unquoted(line.substr(begin, i - begin)));
    begin = i + 1;
  }
  fields.push_back(unquoted(line.substr(begin)));
  return fields;
}

std::optional<std::uint8_t> level(std::string_view field) {
  std::uint8_t value = 0;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
  if (error != std::errc{} || end != field.data() + field.size()) return std::nullopt;
  return value;
}

// Where name, red, green and blue stand.
using Columns = std::array<std::size_t, 4>;

bool is_header(const Fields& fields) {
  return std::ranges::none_of(fields, [](std::string_view field) { return level(field).has_value(); });
}

Columns columns_of(const Fields& header) {
  static const std::array<std::vector<std::string_view>, 4> names{
      {{"name", "class", "label"}, {"r", "red"}, {"g", "green"}, {"b", "blue"}}};
  Columns columns{0, 1, 2, 3};
  Columns found{};
  for (std::size_t c = 0; c < columns.size(); ++c) {
    const auto at = std::ranges::find_if(
        header, [&](std::string_view field) { return std::ranges::count(names[c], lower(field)) > 0; });
    if (at == header.end()) return columns;
    found[c] = static_cast<std::size_t>(at - header.begin());
  }
  return found;
}

class DictReader {
 public:
  explicit DictReader(std::string_view file) : file_(file) {}

  void line(std::size_t number, std::string_view text) {
    line_ = number;
    const Fields fields = fields_of(text);
    const bool first = std::exchange(first_, false);
    if (first && is_header(fields)) {
      columns_ = columns_of(fields);
      return;
    }
    add(fields, text);
  }

  ClassDict finish() && {
    if (dict_.classes.empty()) fail(ErrorCode::malformed, file_, ": no classes");
    return std::move(dict_);
  }

 private:
  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... parts) const {
    fail(ErrorCode::malformed, file_, ": line ", line_, ": ", parts...);
  }

  void add(const Fields& fields, std::string_view text) {
    const auto [name, r, g, b] = columns_;
    if (fields.size() <= std::ranges::max(columns_)) refuse("expected name,r,g,b, found ", printable(text));
    const auto red = level(fields[r]), green = level(fields[g]), blue = level(fields[b]);
    if (!red || !green || !blue) refuse("expected name,r,g,b with numbers 0..255, found ", printable(text));
    const std::string called(fields[name]);
    if (called.empty() || called.size() > name_limit || !is_clean_text(called))
      refuse(printable(called), " is no class's name");
    if (dict_.classes.size() == class_limit)
      fail(ErrorCode::limit, file_, ": more than ", class_limit, " classes");
    if (std::ranges::count(dict_.classes, called) > 0) refuse("the class ", called, " is given twice");
    const Colour colour{*red, *green, *blue};
    if (const auto same = std::ranges::find(dict_.palette, colour); same != dict_.palette.end())
      refuse("the colour of ", called, " is that of ",
             dict_.classes[static_cast<std::size_t>(same - dict_.palette.begin())]);
    dict_.classes.push_back(called);
    dict_.palette.push_back(colour);
  }

  std::string_view file_;
  std::size_t line_ = 0;
  bool first_ = true;
  Columns columns_{0, 1, 2, 3};
  ClassDict dict_;
};

bool has_columns(std::string_view content, std::string_view file) {
  bool decided = false, columns = false;
  each_line(content, file, [&](std::size_t, std::string_view line) {
    if (decided || line == "#" || line.starts_with("# ")) return;
    decided = true;
    columns = line.find_first_of(",;") != line.npos;
  });
  return columns;
}

}  // namespace

ClassDict read_class_dict(std::string_view content, std::string_view file) {
  DictReader reader(file);
  each_line(content, file, [&](std::size_t number, std::string_view line) { reader.line(number, line); });
  return std::move(reader).finish();
}

ClassDict read_label_palette(const std::string& path) {
  const std::vector<std::byte> bytes = read_file(path, file_limit);
  const std::string_view content = as_text(bytes);
  if (has_columns(content, path)) return read_class_dict(content, path);
  ClassDict dict;
  dict.palette = read_palette(content, path);
  dict.classes = unnamed_classes(dict.palette.size());
  std::map<Colour, std::size_t> seen;
  for (std::size_t i = 0; i < dict.palette.size(); ++i)
    if (const auto [entry, added] = seen.emplace(dict.palette[i], i); !added)
      fail(ErrorCode::malformed, path, ": colours ", entry->second, " and ", i, " are the same");
  return dict;
}

std::string find_class_dict(const std::vector<std::string>& files) {
  namespace fs = std::filesystem;
  for (const std::string& path : files) {
    std::error_code ignored;
    const fs::path folder = fs::absolute(path, ignored).parent_path();
    for (const fs::path& place : {folder, folder.parent_path()})
      if (const fs::path file = place / "class_dict.csv"; fs::is_regular_file(file, ignored))
        return file.string();
  }
  return {};
}

}  // namespace atrous
