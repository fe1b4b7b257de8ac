#include "runtime/evaluation/dataset_classes.h"

#include <algorithm>
#include <charconv>

#include "layers/base/error.h"
#include "weights_tools/io/clean_text.h"
#include "weights_tools/io/lines.h"

namespace atrous {

namespace {

constexpr std::size_t name_limit = 256;

// What a line says after its number: the text behind a colon, else the last column.
std::string_view name_in(std::string_view rest) {
  if (const std::string_view spaced = trimmed(rest); spaced.starts_with(':'))
    return trimmed(spaced.substr(1));
  rest = trimmed(rest);
  const std::size_t tab = rest.rfind('\t');
  return tab == rest.npos ? rest : trimmed(rest.substr(tab + 1));
}

}  // namespace

std::vector<std::string> camvid_classes() {
  return {"sky",  "building", "pole", "road",       "pavement", "tree",
          "sign", "fence",    "car",  "pedestrian", "bicyclist"};
}

Palette camvid_palette() {
  return {{128, 128, 128}, {128, 0, 0},   {192, 192, 128}, {128, 64, 128}, {60, 40, 222}, {128, 128, 0},
          {192, 128, 128}, {64, 64, 128}, {64, 0, 128},    {64, 64, 0},    {0, 128, 192}};
}

const std::vector<CityscapesClass>& cityscapes_classes() {
  static const std::vector<CityscapesClass> classes{{"road", 7, {128, 64, 128}},
                                                    {"sidewalk", 8, {244, 35, 232}},
                                                    {"building", 11, {70, 70, 70}},
                                                    {"wall", 12, {102, 102, 156}},
                                                    {"fence", 13, {190, 153, 153}},
                                                    {"pole", 17, {153, 153, 153}},
                                                    {"traffic light", 19, {250, 170, 30}},
                                                    {"traffic sign", 20, {220, 220, 0}},
                                                    {"vegetation", 21, {107, 142, 35}},
                                                    {"terrain", 22, {152, 251, 152}},
                                                    {"sky", 23, {70, 130, 180}},
                                                    {"person", 24, {220, 20, 60}},
                                                    {"rider", 25, {255, 0, 0}},
                                                    {"car", 26, {0, 0, 142}},
                                                    {"truck", 27, {0, 0, 70}},
                                                    {"bus", 28, {0, 60, 100}},
                                                    {"train", 31, {0, 80, 100}},
                                                    {"motorcycle", 32, {0, 0, 230}},
                                                    {"bicycle", 33, {119, 11, 32}}};
  return classes;
}

std::vector<std::string> unnamed_classes(std::size_t count) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < count; ++i) names.push_back(text("class ", i));
  return names;
}

bool is_unnamed(std::string_view name, std::size_t index) {
  return name.empty() || name == text("class ", index);
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
    if (name.size() > name_limit || !is_clean_text(name))
      fail(ErrorCode::malformed, file, ": line ", line_number, ": ", printable(name), " is no class's name");
    if (named[index])
      fail(ErrorCode::malformed, file, ": line ", line_number, ": class ", number, " is named twice");
    named[index] = true;
    names[index] = name;
  });
  return names;
}

}  // namespace atrous
