#include "cli/names.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <system_error>

#include "cli/cli.h"
#include "cli/suggest.h"
#include "layers/base/ascii.h"
#include "layers/base/error.h"
#include "runtime/image/palette.h"
#include "weights_tools/io/clean_text.h"
#include "weights_tools/io/file.h"
#include "weights_tools/io/lines.h"

namespace atrous::cli {

namespace {

constexpr std::uint64_t most_bytes = 1 << 20;  // of a file with names or colours

std::string read_text(const std::string& path) {
  const auto bytes = read_file(path, most_bytes);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void expect_count(const std::string& what, std::size_t found, std::size_t expected) {
  if (found != expected)
    throw UsageError{
        atrous::str_cat(what, ": expected ", expected, " entries, one per class, found ", found)};
}

}  // namespace

ClassTable read_classes(const std::string& name, std::size_t count) {
  constexpr std::size_t longest = 256;
  std::error_code ignored;
  if (!std::filesystem::exists(name, ignored))
    if (auto table = class_table(name, count)) return std::move(*table);
  ClassTable table;
  each_line(read_text(name), name, [&](std::size_t number, std::string_view line) {
    if (number != table.classes.size() + 1)  // the names behind it would each be of the class before
      fail(ErrorCode::malformed, name, ": line ", table.classes.size() + 1, " is empty, but names follow");
    if (line.size() > longest || !is_clean_text(line))
      fail(ErrorCode::malformed, name, ": line ", number, " is not a class name of 1 to ", longest,
           " printable characters: ", printable(line));
    table.classes.emplace_back(line);
  });
  return table;
}

Palette palette_by_name(const std::string& name, std::size_t classes) {
  if (name == "voc") return voc_palette(static_cast<int>(classes));
  if (name == "hub") return hub_palette(static_cast<int>(classes));
  Palette colours = read_palette(read_text(name), name);
  expect_count(name, colours.size(), classes);
  return colours;
}

void apply_names(Model& model, const std::string& classes, const std::string& palette) {
  if (!classes.empty()) {
    ClassTable table = read_classes(classes, model.classes.size());
    expect_count(classes, table.classes.size(), model.classes.size());
    const bool by_name =
        model.answer().decision == Decision::softmax && model.background == background_by_name(model.classes);
    model.classes = std::move(table.classes);
    if (!table.palette.empty()) model.palette = std::move(table.palette);
    if (by_name) model.background = background_by_name(model.classes);
  }
  if (!palette.empty()) model.palette = palette_by_name(palette, model.classes.size());
}

std::uint8_t class_by_name(const Model& model, const std::string& name) {
  const auto found = std::ranges::find(model.classes, name);
  if (found != model.classes.end()) return static_cast<std::uint8_t>(found - model.classes.begin());
  unsigned index = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), index);
  if (error == std::errc() && end == name.data() + name.size() && index < model.classes.size())
    return static_cast<std::uint8_t>(index);
  std::string known;
  for (const std::string& c : model.classes) known += (known.empty() ? "" : ", ") + c;
  throw UsageError{
      atrous::str_cat("class ", name, ": the model knows ", known, suggestion(name, model.classes))};
}

std::string file_safe(const std::string& name) {
  std::string safe = name;
  std::ranges::replace_if(
      safe, [](char c) { return !is_letter(c) && !is_digit(c) && c != '-' && c != '_'; }, '_');
  return safe;
}

}  // namespace atrous::cli
