#include "runtime/evaluation/coco_records.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <istream>
#include <streambuf>

#include "layers/base/naming.h"
#include "weights_tools/io/file.h"
#include "weights_tools/io/json.h"

namespace atrous {

namespace {

constexpr std::uint64_t coco_file_limit = std::uint64_t{4} << 30;
constexpr std::int64_t pixel_limit = 200'000'000;  // ReadOptions::max_pixels
constexpr int depth_limit = 64;
constexpr std::size_t image_limit = 1'000'000;
constexpr std::array<std::string_view, 3> sections{"images", "annotations", "categories"};
constexpr std::string_view results_section = "results";

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

// Depth 1 is a set's object, 2 a list in it, 3 a record, below 3 a record's fields. In results the list is at
// depth 1 and a record at 2. Whatever is not asked for passes by.
class RecordReader final : public JsonEvents {
 public:
  RecordReader(CocoLayout layout, const std::function<void(CocoRecord&)>& take)
      : take_(take), layout_(layout), top_(layout == CocoLayout::set ? 3 : 2) {
    if (layout == CocoLayout::results) section_ = results_section;
  }
  void check_complete() const {
    if (layout_ == CocoLayout::set && !(has_images_ && has_annotations_))
      fail(ErrorCode::malformed, "expected lists of images and annotations, found none");
    if (layout_ == CocoLayout::results && !has_results_)
      fail(ErrorCode::malformed, "expected a list of results, found none");
  }

  void null() override {}
  void boolean(bool value) override {
    if (in_record_ && depth_ == top_ && field_ == "iscrowd") record_.crowd = value;
  }
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
  void field_number(double value, std::optional<std::int64_t> integer);
  void descend();

  const std::function<void(CocoRecord&)>& take_;
  const CocoLayout layout_;
  const int top_;  // a record's depth
  int depth_ = 0;
  std::string_view section_;
  std::string field_, part_;  // the keys of a record and, in a mask of runs, below
  bool in_record_ = false, has_images_ = false, has_annotations_ = false, has_results_ = false;
  std::size_t count_ = 0;  // records of the section so far
  CocoRecord record_;
};

void RecordReader::descend() {
  if (++depth_ > depth_limit) fail(ErrorCode::malformed, "nests deeper than ", depth_limit, " levels");
}

void RecordReader::key(std::string& name) {
  if (layout_ == CocoLayout::set && depth_ == 1) {
    const auto found = std::ranges::find(sections, name);
    section_ = found == sections.end() ? std::string_view() : *found;
    count_ = 0;
  } else if (in_record_ && depth_ == top_) {
    field_ = name.size() < 32 ? name : std::string();
    // Of a key that is there twice the last value counts, as in Python's json.
    if (field_ == "bbox") record_.box.clear();
    if (field_ == "segmentation") {
      record_.polygons.clear();
      record_.runs.clear();
      record_.size.clear();
      record_.compressed.reset();
    }
  } else if (in_record_ && depth_ == top_ + 1) {
    part_ = name.size() < 32 ? name : std::string();
  }
}

void RecordReader::start_object() {
  descend();
  if (depth_ == 1 && layout_ == CocoLayout::results)
    fail(ErrorCode::malformed, "expected a list of results, found an object");
  if (depth_ == top_ && !section_.empty()) {
    in_record_ = true;
    record_ = {};
    record_.section = section_;
    record_.number = ++count_;
    field_.clear();
  }
  if (depth_ == top_ + 1) part_.clear();
}

void RecordReader::end_object() {
  if (depth_ == top_ && in_record_) {
    take_(record_);
    in_record_ = false;
  }
  --depth_;
}

void RecordReader::start_list() {
  descend();
  if (depth_ == 1 && layout_ == CocoLayout::set)
    fail(ErrorCode::malformed, "expected an object with images and annotations, found a list");
  has_results_ = has_results_ || (depth_ == 1 && layout_ == CocoLayout::results);
  if (depth_ == 2) {
    has_images_ = has_images_ || section_ == "images";
    has_annotations_ = has_annotations_ || section_ == "annotations";
  }
  if (depth_ == top_ + 1) part_.clear();
  if (depth_ == top_ + 2 && in_record_ && field_ == "segmentation" && part_.empty())
    record_.polygons.emplace_back();
}

void RecordReader::field_number(double value, std::optional<std::int64_t> integer) {
  if (field_ == "id") record_.id = integer;
  if (field_ == "image_id") record_.image = integer;
  if (field_ == "category_id") record_.category = integer;
  if (field_ == "width") record_.width = integer;
  if (field_ == "height") record_.height = integer;
  if (field_ == "area") record_.area = value;
  if (field_ == "score") record_.score = value;
  if (field_ == "iscrowd") record_.crowd = value != 0;
}

void RecordReader::number(double value, std::optional<std::int64_t> integer) {
  if (!in_record_) return;
  if (depth_ == top_) field_number(value, integer);
  if (depth_ == top_ + 1 && field_ == "bbox" && record_.box.size() < 5) record_.box.push_back(value);
  if (depth_ == top_ + 2 && field_ == "segmentation") {
    if (part_.empty() && !record_.polygons.empty()) record_.polygons.back().push_back(value);
    if (part_ == "counts") record_.runs.push_back(value);
    if (part_ == "size") record_.size.push_back(value);
  }
}

void RecordReader::string(std::string& value) {
  if (!in_record_) return;
  if (depth_ == top_ && field_ == "file_name") record_.file_name = value;
  if (depth_ == top_ && field_ == "name") record_.name = value;
  if (depth_ == top_ + 1 && field_ == "segmentation" && part_ == "counts")
    record_.compressed = std::move(value);
}

CocoMask polygons_of(const CocoRecord& record, std::string_view owner) {
  CocoMask mask;
  if (record.polygons.empty()) record.refuse(owner, " has no segmentation");
  for (const std::vector<double>& polygon : record.polygons) {
    if (polygon.size() < 4 || polygon.size() % 2 != 0)
      record.refuse(owner, " has a polygon of ", polygon.size(), " numbers");
    // COCO's tools take lists of four numbers for boxes.
    mask.polygons.push_back(coco_fifths(
        polygon.size() == 4 ? coco_box_corners({polygon[0], polygon[1], polygon[2], polygon[3]}) : polygon));
  }
  return mask;
}

bool is_count(double value) {
  return value >= 0 && value <= static_cast<double>(pixel_limit) && value == std::floor(value);
}

CocoMask runs_of(const CocoRecord& record, std::string_view owner) {
  CocoMask mask;
  const auto side = [&record, owner](std::size_t i) {
    const double value = record.size.size() == 2 ? record.size[i] : 0;
    if (!is_count(value) || value == 0) record.refuse(owner, " has a mask without a size");
    return static_cast<int>(value);
  };
  mask.height = side(0);
  mask.width = side(1);
  if (record.compressed) {
    mask.runs = decode_coco_runs(*record.compressed);
    return mask;
  }
  mask.runs.reserve(record.runs.size());
  for (const double run : record.runs) {
    if (!is_count(run)) record.refuse(owner, " has a run of ", run, " pixels");
    mask.runs.push_back(static_cast<std::uint32_t>(run));
  }
  return mask;
}

void parse(const InputFile& file, RecordReader& reader) {
  if (file.size() > coco_file_limit)
    fail(ErrorCode::limit, "has ", file.size(), " bytes, more than ", coco_file_limit);
  FileBuffer buffer(file);
  std::istream stream(&buffer);
  parse_json(stream, reader);
  reader.check_complete();
}

}  // namespace

std::int64_t CocoRecord::need(const std::optional<std::int64_t>& field, std::string_view field_name) const {
  if (!field) refuse("there is no whole number ", field_name);
  return *field;
}

std::optional<CocoBox> CocoRecord::coco_box(std::string_view owner) const {
  if (box.empty()) return std::nullopt;
  if (box.size() != 4)
    refuse(owner, " has a bbox of ", box.size() > 4 ? "more than four" : "fewer than four", " numbers");
  return CocoBox{box[0], box[1], box[2], box[3]};
}

CocoMask CocoRecord::mask(std::string_view owner) const {
  return compressed || !runs.empty() ? runs_of(*this, owner) : polygons_of(*this, owner);
}

void read_coco_records(const std::string& path, CocoLayout layout,
                       const std::function<void(CocoRecord&)>& take, const std::function<void()>& finish) {
  const InputFile file(path);
  RecordReader reader(layout, take);
  const auto read = [&] {
    parse(file, reader);
    finish();
  };
  naming(path, read, ErrorCode::io);  // which names the path itself
}

void add_coco_image(std::vector<CocoImage>& images, const CocoRecord& record) {
  CocoImage image{record.need(record.id, "id"), record.file_name.value_or(""), 0, 0};
  const std::int64_t width = record.need(record.width, "width"),
                     height = record.need(record.height, "height");
  if (width < 1 || height < 1 || width > pixel_limit || height > pixel_limit || width * height > pixel_limit)
    fail(ErrorCode::limit, "image ", image.id, " is ", width, "x", height, ", expected 1 to ", pixel_limit,
         " pixels");
  if (images.size() == image_limit) fail(ErrorCode::limit, "more than ", image_limit, " images");
  image.width = static_cast<int>(width);
  image.height = static_cast<int>(height);
  images.push_back(std::move(image));
}

void sort_coco_images(std::vector<CocoImage>& images) {
  std::ranges::sort(images, {}, &CocoImage::id);
  const auto twice = std::ranges::adjacent_find(images, {}, &CocoImage::id);
  if (twice != images.end()) fail(ErrorCode::malformed, "two images have the id ", twice->id);
}

}  // namespace atrous
