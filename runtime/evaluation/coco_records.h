// The objects in COCO's JSON files, one by one: images, annotations and categories of a set, and detections.
// https://cocodataset.org/#format-data, https://cocodataset.org/#format-results
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "layers/base/error.h"
#include "layers/base/public.h"
#include "runtime/instances/coco_mask.h"

namespace ATROUS_PUBLIC atrous {

struct CocoImage {
  std::int64_t id = 0;
  std::string file_name;
  int width = 0, height = 0;
};

// Fields of all kinds of objects; those that an object does not have, or has as something else, are empty.
struct CocoRecord {
  std::string_view section;  // images, annotations, categories, results
  std::size_t number = 0;    // in its section, from 1
  std::optional<std::int64_t> id, image, category, width, height;
  std::optional<double> area, score;
  bool crowd = false;
  std::optional<std::string> file_name, name;
  std::vector<double> box;                    // bbox: left, top, width, height; at most five numbers are kept
  std::vector<std::vector<double>> polygons;  // segmentation, as one of three
  std::vector<double> runs, size;             // size: height, width
  std::optional<std::string> compressed;

  // Error(malformed) that ends in the record's place.
  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... parts) const {
    fail(ErrorCode::malformed, parts..., " (number ", number, " of ", section, ")");
  }
  std::int64_t need(const std::optional<std::int64_t>& field, std::string_view field_name) const;
  // Nothing where there is no bbox, or an empty one. Error(malformed) for other than four numbers.
  std::optional<CocoBox> coco_box(std::string_view owner) const;
  bool has_mask() const { return compressed || !runs.empty() || !polygons.empty(); }
  // Error(malformed) and Error(limit) where there is none, or none that can be; `owner` begins the sentence.
  CocoMask mask(std::string_view owner) const;
};

enum class CocoLayout {
  set,     // {"images": [...], "annotations": [...], "categories": [...]}
  results  // [...]
};

// Reads the file piece by piece and calls `take` with each record, then `finish`. Errors, theirs too, begin
// with the path: Error(limit) for a file over 4 GiB, Error(malformed) for what is not JSON or not so laid
// out.
void read_coco_records(const std::string& path, CocoLayout layout,
                       const std::function<void(CocoRecord&)>& take, const std::function<void()>& finish);

// Appends a record of an image. Error(limit) for more than 200 million pixels or more than a million images.
void add_coco_image(std::vector<CocoImage>& images, const CocoRecord& record);
// By id. Error(malformed) where two images have the same.
void sort_coco_images(std::vector<CocoImage>& images);

}  // namespace atrous
