#include "runtime/evaluation/coco_instances.h"

#include <algorithm>
#include <array>
#include <istream>
#include <optional>
#include <streambuf>
#include <string_view>

#include "layers/base/error.h"
#include "layers/base/naming.h"
#include "runtime/evaluation/coco_mask.h"
#include "weights_tools/io/clean_text.h"
#include "weights_tools/io/file.h"
#include "weights_tools/io/json.h"

namespace atrous {

namespace {

constexpr std::uint64_t annotations_limit = std::uint64_t{4} << 30;
constexpr std::int64_t pixel_limit = 200'000'000;  // ReadOptions::max_pixels
constexpr int depth_limit = 64;
constexpr std::size_t image_limit = 1'000'000;

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

// A file as the stream that the JSON library reads.
class FileBuffer final : public std::streambuf {
 public:
  explicit FileBuffer(const InputFile& file) : file_(file), piece_(std::size_t{1} << 18) {}

 protected:
  int_type underflow() override {
    const std::uint64_t left = file_.size() - offset_;
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(left, piece_.size()));
    if (count == 0) return traits_type::eof();
    file_.read(offset_, std::as_writable_bytes(std::span(piece_.data(), count)));
    offset_ += count;
    setg(piece_.data(), piece_.data(), piece_.data() + count);
    return traits_type::to_int_type(piece_[0]);
  }

 private:
  const InputFile& file_;
  std::uint64_t offset_ = 0;
  std::vector<char> piece_;
};

// What one object of the three lists says, as far as it matters here.
struct Record {
  std::optional<std::int64_t> id, image, category, width, height;
  std::optional<std::string> file_name, name;
  std::vector<std::vector<double>> polygons;
  std::vector<double> runs, size;
  std::optional<std::string> compressed;
};

// Depth 1 is the file's object, 2 a list in it, 3 a record, below 3 a
// record's fields. Whatever is not asked for passes by.
class InstancesReader final : public JsonEvents {
 public:
  explicit InstancesReader(CocoInstances& out) : out_(out) {}
  bool complete() const { return has_images_ && has_annotations_; }

  void null() override {}
  void boolean(bool) override {}
  void negative_integer(std::int64_t v) override { number(static_cast<double>(v), v); }
  void natural_number(std::uint64_t v) override {
    if (v > std::uint64_t{1} << 62) return number(static_cast<double>(v), std::nullopt);
    number(static_cast<double>(v), static_cast<std::int64_t>(v));
  }
  void floating_point(double v, std::string_view) override { number(v, std::nullopt); }
  void string(std::string& value) override;
  void key(std::string& name) override;
  void start_object() override;
  void end_object() override;
  void start_list() override;
  void end_list() override { --depth_; }
  void malformed(std::size_t position) override {
    fail(ErrorCode::malformed, "not JSON, from its byte ", position, " on");
  }

 private:
  void number(double value, std::optional<std::int64_t> integer);
  void descend();
  bool in_field(std::string_view field) const { return in_record_ && field_ == field; }
  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... parts) const {
    fail(ErrorCode::malformed, parts..., " (number ", count_, " of ", section_, ")");
  }
  std::int64_t need(const std::optional<std::int64_t>& field, std::string_view name) const;
  void finish_record();
  void finish_image();
  void finish_annotation();
  void finish_category() const;
  void take_polygons(CocoInstance&) const;
  void take_runs(CocoInstance&) const;

  CocoInstances& out_;
  int depth_ = 0;
  std::string section_, field_, part_;  // the keys at depths 1, 3 and, in a mask of runs, 4
  bool in_record_ = false, has_images_ = false, has_annotations_ = false;
  std::size_t count_ = 0;  // records of the section so far
  Record record_;
};

void InstancesReader::descend() {
  if (++depth_ > depth_limit) fail(ErrorCode::malformed, "nests deeper than ", depth_limit, " levels");
}

void InstancesReader::key(std::string& name) {
  if (depth_ == 1) {
    section_ = name == "images" || name == "annotations" || name == "categories" ? name : std::string();
    count_ = 0;
  } else if (in_record_ && depth_ == 3) {
    field_ = name.size() < 32 ? name : std::string();
  } else if (in_record_ && depth_ == 4) {
    part_ = name.size() < 32 ? name : std::string();
  }
}

void InstancesReader::start_object() {
  descend();
  if (depth_ == 3 && !section_.empty()) {
    in_record_ = true;
    record_ = {};
    field_.clear();
    ++count_;
  }
  if (depth_ == 4) part_.clear();
}

void InstancesReader::end_object() {
  if (depth_ == 3 && in_record_) {
    finish_record();
    in_record_ = false;
  }
  --depth_;
}

void InstancesReader::start_list() {
  descend();
  if (depth_ == 1) fail(ErrorCode::malformed, "expected an object with images and annotations, found a list");
  if (depth_ == 2) {
    has_images_ = has_images_ || section_ == "images";
    has_annotations_ = has_annotations_ || section_ == "annotations";
  }
  if (depth_ == 4) part_.clear();
  if (depth_ == 5 && in_field("segmentation") && part_.empty()) record_.polygons.emplace_back();
}

void InstancesReader::number(double value, std::optional<std::int64_t> integer) {
  if (!in_record_) return;
  if (depth_ == 3) {
    if (field_ == "id") record_.id = integer;
    if (field_ == "image_id") record_.image = integer;
    if (field_ == "category_id") record_.category = integer;
    if (field_ == "width") record_.width = integer;
    if (field_ == "height") record_.height = integer;
  } else if (depth_ == 5 && field_ == "segmentation") {
    if (part_.empty() && !record_.polygons.empty()) record_.polygons.back().push_back(value);
    if (part_ == "counts") record_.runs.push_back(value);
    if (part_ == "size") record_.size.push_back(value);
  }
}

void InstancesReader::string(std::string& value) {
  if (!in_record_) return;
  if (depth_ == 3 && field_ == "file_name") record_.file_name = value;
  if (depth_ == 3 && field_ == "name") record_.name = value;
  if (depth_ == 4 && field_ == "segmentation" && part_ == "counts") record_.compressed = std::move(value);
}

std::int64_t InstancesReader::need(const std::optional<std::int64_t>& field, std::string_view name) const {
  if (!field) refuse("there is no whole number ", name);
  return *field;
}

void InstancesReader::finish_record() {
  if (section_ == "images") finish_image();
  if (section_ == "annotations") finish_annotation();
  if (section_ == "categories") finish_category();
}

void InstancesReader::finish_image() {
  CocoImage image{need(record_.id, "id"), record_.file_name.value_or(""), 0, 0};
  const std::int64_t width = need(record_.width, "width"), height = need(record_.height, "height");
  if (width < 1 || height < 1 || width > pixel_limit || height > pixel_limit || width * height > pixel_limit)
    fail(ErrorCode::limit, "image ", image.id, " is ", width, "x", height, ", expected 1 to ", pixel_limit,
         " pixels");
  if (out_.images.size() == image_limit) fail(ErrorCode::limit, "more than ", image_limit, " images");
  image.width = static_cast<int>(width);
  image.height = static_cast<int>(height);
  out_.images.push_back(std::move(image));
}

void InstancesReader::finish_annotation() {
  CocoInstance instance;
  instance.cls = voc_class(need(record_.category, "category_id"));
  if (instance.cls == 0) return;
  instance.id = need(record_.id, "id");
  instance.image = need(record_.image, "image_id");
  if (record_.compressed || !record_.runs.empty())
    take_runs(instance);
  else
    take_polygons(instance);
  out_.instances.push_back(std::move(instance));
}

// Another list of categories would silently be another truth.
void InstancesReader::finish_category() const {
  const std::int64_t id = need(record_.id, "id");
  const std::uint8_t cls = voc_class(id);
  if (cls == 0 || !record_.name) return;
  const std::string_view expected = categories[cls - 1u].name;
  if (*record_.name != expected)
    refuse("category ", id, " is ", printable(*record_.name), ", in COCO it is ", expected);
}

// COCO's tools take lists of four numbers for boxes: left, top, width, height.
std::vector<double> box_corners(const std::vector<double>& box) {
  const double left = box[0], right = box[0] + box[2], top = box[1], bottom = box[1] + box[3];
  return {left, top, left, bottom, right, bottom, right, top};
}

void InstancesReader::take_polygons(CocoInstance& instance) const {
  if (record_.polygons.empty()) refuse("annotation ", instance.id, " has no segmentation");
  for (const std::vector<double>& polygon : record_.polygons) {
    if (polygon.size() < 4 || polygon.size() % 2 != 0)
      refuse("annotation ", instance.id, " has a polygon of ", polygon.size(), " numbers");
    instance.polygons.push_back(coco_fifths(polygon.size() == 4 ? box_corners(polygon) : polygon));
  }
}

void InstancesReader::take_runs(CocoInstance& instance) const {
  const auto side = [this, &instance](std::size_t i) {
    const double value = record_.size.size() == 2 ? record_.size[i] : 0;
    if (!(value >= 1 && value <= static_cast<double>(pixel_limit)))
      refuse("annotation ", instance.id, " has a mask without a size");
    return static_cast<int>(value);
  };
  instance.height = side(0);
  instance.width = side(1);
  if (record_.compressed) {
    instance.runs = decode_coco_runs(*record_.compressed);
    return;
  }
  instance.runs.reserve(record_.runs.size());
  for (const double run : record_.runs) {
    if (!(run >= 0 && run <= static_cast<double>(pixel_limit)))
      refuse("annotation ", instance.id, " has a run of ", run, " pixels");
    instance.runs.push_back(static_cast<std::uint32_t>(run));
  }
}

void parse(const InputFile& file, CocoInstances& out) {
  if (file.size() > annotations_limit)
    fail(ErrorCode::limit, "has ", file.size(), " bytes, more than ", annotations_limit);
  FileBuffer buffer(file);
  std::istream stream(&buffer);
  InstancesReader reader(out);
  parse_json(stream, reader);
  if (!reader.complete()) fail(ErrorCode::malformed, "expected lists of images and annotations, found none");
  std::ranges::sort(out.images, {}, &CocoImage::id);
  std::ranges::stable_sort(out.instances, {}, &CocoInstance::image);
  const auto twice = std::ranges::adjacent_find(out.images, {}, &CocoImage::id);
  if (twice != out.images.end()) fail(ErrorCode::malformed, "two images have the id ", twice->id);
}

// How much one picture may ask for, in pixels; sorting a crossing costs more than painting a pixel.
struct Work {
  std::uint64_t left = std::uint64_t{1} << 33;
  void take(std::uint64_t pixels) {
    if (pixels > left) fail(ErrorCode::limit, "the instances up to this one are too large and too many");
    left -= pixels;
  }
};
constexpr std::uint64_t crossing_work = 256;

std::vector<CocoSpan> spans_of(const CocoInstance& instance, const CocoImage& image, Work& work) {
  std::vector<CocoSpan> spans;
  if (!instance.polygons.empty()) {
    for (const std::vector<std::int32_t>& polygon : instance.polygons)
      work.take(crossing_work * add_coco_polygon(spans, polygon, image.width, image.height));
  } else {
    if (instance.width != image.width || instance.height != image.height)
      fail(ErrorCode::malformed, "its mask is ", instance.width, "x", instance.height, ", the image ",
           image.width, "x", image.height);
    add_coco_runs(spans, instance.runs, image.width, image.height);
  }
  merge_coco_spans(spans);
  return spans;
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
  const InputFile file(path);
  CocoInstances out;
  out.path = path;
  naming(
      path, [&] { parse(file, out); }, ErrorCode::io);
  return out;
}

LabelMap draw_coco_truth(const CocoInstances& all, std::size_t index) {
  const CocoImage& image = all.images.at(index);
  std::vector<std::uint8_t> columns(static_cast<std::size_t>(image.width) *
                                    static_cast<std::size_t>(image.height));
  Work work;
  auto found = std::ranges::lower_bound(all.instances, image.id, {}, &CocoInstance::image);
  for (; found != all.instances.end() && found->image == image.id; ++found) {
    const CocoInstance& instance = *found;
    try {
      for (const CocoSpan& span : spans_of(instance, image, work)) {
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
