// COCO's instance annotations: the input as the JSON file, as the text of compressed runs and as the corners
// of a polygon. What is drawn has the picture's size and only VOC's labels; spans are sorted, apart and
// within the picture; an outline crosses the middles of columns an even number of times.
#include "runtime/evaluation/coco_instances.h"
#include "runtime/instances/coco_mask.h"
#include "tests/fuzz/memory_file.h"
#include "tests/fuzz/targets.h"

namespace atrous::fuzz {

namespace {

void draw(const CocoInstances& all) {
  constexpr std::int64_t largest = 1 << 14;
  for (std::size_t i = 0; i < std::min<std::size_t>(all.images.size(), 4); ++i) {
    const CocoImage& image = all.images[i];
    if (std::int64_t{image.width} * image.height > largest) continue;
    may_refuse([&] {
      const LabelMap truth = draw_coco_truth(all, i);
      check(truth, "truth");
      promise(truth.width == image.width && truth.height == image.height, "a truth of another size");
      promise(std::ranges::all_of(truth.labels, [](int label) { return label <= 20 || label == 255; }),
              "a label that VOC does not have");
    });
  }
}

void check_spans(std::vector<CocoSpan> spans, std::uint32_t pixels) {
  merge_coco_spans(spans);
  std::uint32_t reached = 0;
  for (const CocoSpan& span : spans) {
    promise(span.begin < span.end && span.end <= pixels, "a span from ", span.begin, " to ", span.end);
    promise(span.begin > reached || reached == 0, "spans that touch");
    reached = span.end;
  }
}

void runs(Bytes input, int width, int height) {
  may_refuse([&] {
    const auto lengths = decode_coco_runs(as_text(input));
    promise(lengths.size() <= input.size(), lengths.size(), " runs of ", input.size(), " characters");
    std::vector<CocoSpan> spans;
    add_coco_runs(spans, lengths, width, height);
    check_spans(spans, static_cast<std::uint32_t>(width * height));
  });
}

// Near the picture, and up to far beyond it.
double coordinate(Draws& draws, std::int64_t reach) {
  const double scale = static_cast<double>(std::int64_t{1} << draws.pick(0, reach));
  return (static_cast<double>(draws.byte()) - 64) / 16 * scale;
}

void polygon(Draws draws, int width, int height) {
  const std::int64_t corners = draws.pick(2, 12), reach = draws.pick(0, 17);
  std::vector<double> numbers;
  for (std::int64_t i = 0; i < 2 * corners; ++i) numbers.push_back(coordinate(draws, reach));
  may_refuse([&] {
    std::vector<CocoSpan> spans;
    const std::size_t crossings = add_coco_polygon(spans, coco_fifths(numbers), width, height);
    promise(crossings % 2 == 0, "an outline that crosses ", crossings, " times");
    check_spans(spans, static_cast<std::uint32_t>(width * height));
  });
}

}  // namespace

void coco_annotations(Bytes input) {
  const MemoryFile file(input);
  may_refuse([&] { draw(read_coco_instances(file.path())); });
  Draws draws(input);
  const auto width = static_cast<int>(draws.pick(1, 100)), height = static_cast<int>(draws.pick(1, 100));
  runs(draws.rest(), width, height);
  polygon(draws, width, height);
}

}  // namespace atrous::fuzz
