#include "runtime/evaluation/coco_instances.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "layers/base/error.h"
#include "weights_tools/io/clean_text.h"

namespace atrous {

namespace {

struct Category {
  std::int64_t id;
  std::string_view name;
};
// COCO's, in the order of VOC's classes 1..20.
constexpr std::array<Category, 20> categories{
    {{5, "airplane"},      {2, "bicycle"}, {16, "bird"},  {9, "boat"},       {44, "bottle"},
     {6, "bus"},           {3, "car"},     {17, "cat"},   {62, "chair"},     {21, "cow"},
     {67, "dining table"}, {18, "dog"},    {19, "horse"}, {4, "motorcycle"}, {1, "person"},
     {64, "potted plant"}, {20, "sheep"},  {63, "couch"}, {7, "train"},      {72, "tv"}}};

// VOC's class of a category; 0 for the others.
std::uint8_t voc_class(std::int64_t category) {
  const auto found = std::ranges::find(categories, category, &Category::id);
  return found == categories.end() ? std::uint8_t{0}
                                   : static_cast<std::uint8_t>(found - categories.begin() + 1);
}

CocoInstance instance_of(const CocoRecord& record, std::uint8_t cls) {
  CocoInstance instance;
  instance.cls = cls;
  instance.id = record.need(record.id, "id");
  instance.image = record.need(record.image, "image_id");
  instance.mask = record.mask(str_cat("annotation ", instance.id));
  return instance;
}

// Another list of categories would silently be another truth.
void check_category(const CocoRecord& record) {
  const std::int64_t id = record.need(record.id, "id");
  const std::uint8_t cls = voc_class(id);
  if (cls == 0 || !record.name) return;
  const std::string_view expected = categories[cls - 1u].name;
  if (*record.name != expected)
    record.refuse("category ", id, " is ", printable(*record.name), ", in COCO it is ", expected);
}

LabelMap rows_of(const std::vector<std::uint8_t>& columns, const CocoImage& image) {
  LabelMap map{image.width, image.height, {}};
  map.labels.resize(columns.size());
  const auto width = static_cast<std::size_t>(image.width), height = static_cast<std::size_t>(image.height);
  for (std::size_t x = 0; x < width; ++x)
    for (std::size_t y = 0; y < height; ++y) map.labels[y * width + x] = columns[x * height + y];
  return map;
}

}  // namespace

CocoInstances read_coco_instances(const std::string& path) {
  CocoInstances out;
  out.path = path;
  const auto take = [&out](const CocoRecord& record) {
    if (record.section == "images") add_coco_image(out.images, record);
    if (record.section == "categories") check_category(record);
    if (record.section != "annotations") return;
    const std::uint8_t cls = voc_class(record.need(record.category, "category_id"));
    if (cls != 0) out.instances.push_back(instance_of(record, cls));
  };
  read_coco_records(path, CocoLayout::set, take, [&out] {
    sort_coco_images(out.images);
    std::ranges::stable_sort(out.instances, {}, &CocoInstance::image);
  });
  return out;
}

LabelMap draw_coco_truth(const CocoInstances& all, std::size_t index) {
  const CocoImage& image = all.images.at(index);
  std::vector<std::uint8_t> columns(static_cast<std::size_t>(image.width) *
                                    static_cast<std::size_t>(image.height));
  CocoWork work;
  auto found = std::ranges::lower_bound(all.instances, image.id, {}, &CocoInstance::image);
  for (; found != all.instances.end() && found->image == image.id; ++found) {
    const CocoInstance& instance = *found;
    try {
      for (const CocoSpan& span : coco_spans(instance.mask, image.width, image.height, work)) {
        work.take(span.end - span.begin);
        for (std::uint8_t& label : std::span(columns).subspan(span.begin, span.end - span.begin))
          label = label == 0 ? instance.cls : std::uint8_t{255};
      }
    } catch (const Error& error) {
      fail(error.code(), all.path, ": ", printable(image.file_name), ": annotation ", instance.id, ": ",
           error.what());
    }
  }
  return rows_of(columns, image);
}

}  // namespace atrous
