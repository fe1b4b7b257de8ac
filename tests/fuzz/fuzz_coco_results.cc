// COCO's detections and the truth they are measured against: the input as the file of results, against a set
// that is fixed, and as the file of annotations. What is measured is -1 or a share; what was read and can be
// written is read again as the same.
#include "runtime/evaluation/coco_detection.h"
#include "tests/fuzz/memory_file.h"
#include "tests/fuzz/targets.h"

namespace atrous::fuzz {

namespace {

constexpr std::string_view truth_of_results =
    R"({"images":[{"id":7,"width":10,"height":8}],"categories":[{"id":3}],"annotations":[)"
    R"({"id":1,"image_id":7,"category_id":3,"area":16,"iscrowd":0,"bbox":[0,0,4,4],"segmentation":[[0,0,0,4,4,4,4,0]]},)"
    R"({"id":2,"image_id":7,"category_id":3,"area":9,"iscrowd":1,"bbox":[5,4,3,3],)"
    R"("segmentation":{"size":[8,10],"counts":[44,3,5,3,5,3,17]}}]})";

void check_share(double value) {
  promise(value == -1 || (value >= 0 && value <= 1 + 1e-9), "a measure of ", value);
}

void measure(const CocoAnnotations& truth, const CocoResults& results) {
  constexpr std::int64_t largest = 1 << 14;
  for (const CocoImage& image : truth.images)
    if (std::int64_t{image.width} * image.height > largest) return;
  for (const CocoGeometry geometry : {CocoGeometry::boxes, CocoGeometry::masks})
    may_refuse([&] {
      const CocoScores scores = measure_coco(truth, results, geometry);
      check_share(scores.summary.ap);
      check_share(scores.summary.ar_small);
      promise(scores.categories.size() == truth.categories.size(), "categories of two numbers");
    });
}

void write_and_read(const CocoResults& results) {
  std::string text;
  if (!may_refuse([&] { text = coco_results_json(results); })) return;
  const MemoryFile file(as_bytes(text));
  CocoResults again;
  promise(may_refuse([&] { again = read_coco_results(file.path()); }), "what was written is refused");
  promise(again.detections.size() == results.detections.size(), "results of two numbers");
  promise(coco_results_json(again) == text, "another text of the same results");
}

}  // namespace

void coco_results(Bytes input) {
  const MemoryFile file(input), set(as_bytes(truth_of_results));
  may_refuse([&] {
    const CocoResults results = read_coco_results(file.path());
    write_and_read(results);
    measure(read_coco_annotations(set.path()), results);
  });
  may_refuse([&] { measure(read_coco_annotations(file.path()), {}); });
}

}  // namespace atrous::fuzz
