#include "cli/segment_instances.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "cli/names.h"
#include "layers/base/ascii.h"
#include "layers/base/error.h"
#include "runtime/image/png.h"
#include "runtime/segment/second_stage.h"

namespace atrous::cli {

namespace {

const std::string& class_name(const Instance& instance, const Model& model) {
  return model.classes[static_cast<std::size_t>(instance.label)];
}

// The number that a name like 000000397133.jpg is, as COCO's pictures have it.
std::optional<std::int64_t> number_of(const std::string& path) {
  const std::string stem = std::filesystem::path(path).stem().string();
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(stem.data(), stem.data() + stem.size(), number);
  const bool whole = error == std::errc() && end == stem.data() + stem.size() && is_digit(stem.front());
  return whole ? std::optional(number) : std::nullopt;
}

}  // namespace

void add_instance_options(Verb& verb, InstanceArguments& a, const std::string& group) {
  verb.add_option("--instances", a.folder, "NAME.01.CLASS.png in this folder, white where the instance is")
      .type_name("FOLDER")
      .group(group);
  add_detection_options(verb, a.which, group);
}

InstanceOptions instance_options(const InstanceArguments& a, const SizeOptions& size, const Model& model,
                                 const Image& photo) {
  InstanceOptions options = a.which.options();
  if (!size.size.empty() || size.longer_side > 0)
    throw UsageError{
        size.longer_side > 0
            ? "--longer-side: instances are found at a shorter side: --resize"
            : "--size: instances are found at the photo's own proportions; --resize gives the shorter side"};
  if (const auto rule = size.rule())
    options.sides = bounded_sides(*rule, model.second_stage->how.sides, photo.width, photo.height);
  return options;
}

std::vector<std::string> write_instances(const std::string& folder, const Input& input,
                                         const Instances& instances, const Model& model) {
  const std::string name = std::filesystem::path(input.stem).filename().string(),
                    inside = input.inside.empty() ? folder : folder + '/' + input.inside;
  std::error_code error;
  std::filesystem::create_directories(inside, error);
  if (error) fail(ErrorCode::io, inside, ": ", error.message());
  const std::size_t digits = std::max<std::size_t>(2, std::to_string(instances.found.size()).size());
  std::vector<std::string> files;
  for (std::size_t i = 0; i < instances.found.size(); ++i) {
    Image mask{instances.width, instances.height, 1, pasted_mask(instances, i)};
    for (std::uint8_t& value : mask.pixels) value = value ? 255 : 0;
    std::string number = std::to_string(i + 1);
    number.insert(0, digits - number.size(), '0');
    files.push_back(str_cat(inside, '/', name, '.', number, '.',
                            file_safe(class_name(instances.found[i], model)), ".png"));
    write_to(files.back(), encode_png(mask));
  }
  return files;
}

std::int64_t image_number(const std::string& path, std::size_t image) {
  return number_of(path).value_or(static_cast<std::int64_t>(image));
}

std::string instances_table(const Instances& instances, const Model& model) {
  Table table({"instance", "class", "score", "box"});
  for (std::size_t i = 0; i < instances.found.size(); ++i) {
    const Instance& one = instances.found[i];
    const auto pixel = [](float v) { return fixed(static_cast<double>(v), 0); };
    table.add({std::to_string(i + 1), class_name(one, model), fixed(static_cast<double>(one.score), 3),
               str_cat(pixel(one.box.x1), ',', pixel(one.box.y1), ' ', pixel(one.box.x2 - one.box.x1), 'x',
                       pixel(one.box.y2 - one.box.y1))});
  }
  return instances.found.empty() ? "no instances\n" : table.plain();
}

}  // namespace atrous::cli
