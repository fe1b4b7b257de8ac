#include "runtime/evaluation/dataset_classes.h"

#include <algorithm>
#include <charconv>

#include "layers/base/error.h"
#include "weights_tools/io/clean_text.h"
#include "weights_tools/io/lines.h"

namespace atrous {

namespace {

constexpr std::size_t class_name_limit = 256;

// What a line says after its number: the text behind a colon, else the last column.
std::string_view name_in(std::string_view rest) {
  if (const std::string_view spaced = trimmed(rest); spaced.starts_with(':'))
    return trimmed(spaced.substr(1));
  rest = trimmed(rest);
  const std::size_t tab = rest.rfind('\t');
  return tab == rest.npos ? rest : trimmed(rest.substr(tab + 1));
}

}  // namespace

std::vector<std::string> unnamed_classes(std::size_t count) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < count; ++i) names.push_back(str_cat("class ", i));
  return names;
}

bool is_unnamed(std::string_view name, std::size_t index) {
  return name.empty() || name == str_cat("class ", index);
}

std::vector<std::string> read_class_names(std::string_view content, std::string_view file, std::size_t count,
                                          int first) {
  std::vector<std::string> names = unnamed_classes(count);
  std::vector<bool> named(count);
  each_line(content, file, [&](std::size_t line_number, std::string_view line) {
    int number = 0;
    const auto [rest, error] = std::from_chars(line.data(), line.data() + line.size(), number);
    if (error != std::errc{} || number < first) return;
    const auto index = static_cast<std::size_t>(static_cast<std::int64_t>(number) - first);
    if (index >= count) return;
    std::string_view name = name_in(line.substr(static_cast<std::size_t>(rest - line.data())));
    name = trimmed(name.substr(0, name.find_first_of(",;")));
    if (name.empty()) return;
    if (name.size() > class_name_limit || !is_clean_text(name))
      fail(ErrorCode::malformed, file, ": line ", line_number, ": ", printable(name), " is no class's name");
    if (named[index])
      fail(ErrorCode::malformed, file, ": line ", line_number, ": class ", number, " is named twice");
    named[index] = true;
    names[index] = name;
  });
  return names;
}

}  // namespace atrous
