// A model's instances as COCO's detections, and its classes as COCO's categories. The way from photos to
// figures is tested as a process: tests/cli/eval_instances_test.cc.
#include "runtime/evaluation/coco_detect.h"

#include <doctest/doctest.h>

#include <cmath>
#include <random>

#include "tests/support/runtime_testing.h"

namespace atrous::coco_detect_test {

using namespace atrous::runtime_testing;

namespace {

CocoAnnotations with_categories(std::vector<CocoCategory> categories) {
  CocoAnnotations all;
  all.path = "truth.json";
  all.categories = std::move(categories);
  return all;
}

using Ids = std::vector<std::optional<std::int64_t>>;
constexpr auto none = std::nullopt;

// Run lengths down the columns, outside first, by looking at each pixel.
std::vector<std::uint32_t> runs_by_pixel(const std::vector<std::uint8_t>& mask, int width, int height) {
  std::vector<std::uint32_t> runs{0};
  bool inside = false;
  for (int x = 0; x < width; ++x)
    for (int y = 0; y < height; ++y) {
      if ((mask[static_cast<std::size_t>(y * width + x)] != 0) != inside) {
        runs.push_back(0);
        inside = !inside;
      }
      ++runs.back();
    }
  return runs;
}

CocoClassMap class_map(Ids ids) { return {std::move(ids), false}; }

}  // namespace

TEST_CASE("classes are categories by name where one has a category's name") {
  const std::vector<std::string> classes{"__background__", "Person", "dog", "N/A"};
  const CocoClassMap map =
      match_coco_classes(classes, with_categories({{1, "dog"}, {7, "person"}, {9, "x"}}));
  CHECK(map.by_name);
  CHECK(map.category == Ids{none, 7, 1, none});
}

TEST_CASE("the background is no category, whatever its name and number") {
  const std::vector<std::string> classes{"dog", "cat"};
  CHECK(match_coco_classes(classes, with_categories({{0, "dog"}, {3, "cat"}})).category == Ids{none, 3});
  const std::vector<std::string> unnamed{"class 0", "class 1"};
  CHECK(match_coco_classes(unnamed, with_categories({{0, "dog"}, {1, "cat"}})).category == Ids{none, 1});
}

TEST_CASE("of categories of one name that of the label's number is taken, or the one that is used") {
  const std::vector<std::string> classes{"background", "pothole"};
  CocoAnnotations twice = with_categories({{0, "pothole"}, {2, "pothole"}});
  CHECK(match_coco_classes(classes, twice).category[1] == 0);
  twice.annotations = {{.id = 5, .image = 1, .category = 2}};
  CHECK(match_coco_classes(classes, twice).category[1] == 2);
  CHECK(match_coco_classes(classes, with_categories({{0, "pothole"}, {1, "pothole"}})).category[1] == 1);
}

TEST_CASE("labels are ids where no class has a category's name") {
  const std::vector<std::string> classes{"class 0", "class 1", "class 2", "class 3"};
  const CocoClassMap map =
      match_coco_classes(classes, with_categories({{1, "a"}, {3, "b"}, {90, "class 2"}}));
  CHECK_FALSE(map.by_name);
  CHECK(map.category == Ids{none, 1, none, 3});
}

TEST_CASE("classes without any category are refused") {
  const std::vector<std::string> classes{"class 0", "class 1"};
  const auto match = [&] { return match_coco_classes(classes, with_categories({{0, "a"}, {2, "b"}})); };
  const std::string said = sentence(ErrorCode::mismatch, match);
  CHECK(mentions(said, "truth.json: none of its 2 categories has the name or, from 1 to 1, the number"));
}

TEST_CASE("instances become boxes of x, y, width, height in float32, with their scores, in their order") {
  Instances instances{.width = 9, .height = 7};
  instances.found = {{{0.1F, 1, 5.7F, 4}, 0.9F, 2}, {{0, 0, 1, 1}, 0.8F, 1}, {{2, 2, 4, 7}, 0.7F, 2}};
  const auto found = coco_detections(instances, class_map({none, none, 44}), 12);
  REQUIRE(found.size() == 2);
  CHECK(found[0].image == 12);
  CHECK(found[0].category == 44);
  CHECK(found[0].score == static_cast<double>(0.9F));
  const float width = 5.7F - 0.1F;
  CHECK(*found[0].box == CocoBox{static_cast<double>(0.1F), 1, static_cast<double>(width), 3});
  CHECK_FALSE(found[0].mask.has_value());
  CHECK(*found[1].box == CocoBox{2, 2, 2, 5});
}

TEST_CASE("masks are the pixels of the pasted mask above 0.5, wherever the box lies") {
  std::mt19937 random(7);
  const auto uniform = [&random](float low, float high) {
    return low + (high - low) * static_cast<float>(random() >> 8) * 0x1p-24F;
  };
  Instances instances{.width = 37, .height = 23, .mask_side = 6};
  for (int i = 0; i < 60; ++i) {
    Instance one{{uniform(-9, 37), uniform(-9, 23), 0, 0}, 0.5F, 1};
    one.box.x2 = one.box.x1 + uniform(0, 30);
    one.box.y2 = one.box.y1 + uniform(0, 30);
    for (int p = 0; p < 36; ++p) one.mask.push_back(uniform(0, 1));
    instances.found.push_back(one);
  }
  instances.found.push_back({{0, 0, 37, 23}, 0.5F, 1, std::vector<float>(36, 1)});
  instances.found.push_back({{60, 60, 70, 70}, 0.5F, 1, std::vector<float>(36, 1)});
  const auto found = coco_detections(instances, class_map({none, 3}), 1);
  REQUIRE(found.size() == instances.found.size());
  int drawn = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    CAPTURE(i);
    const auto mask = pasted_mask(instances, i, std::nextafter(0.5F, 1.0F));
    CHECK(found[i].mask->runs == runs_by_pixel(mask, 37, 23));
    CHECK(found[i].mask->width == 37);
    CHECK(found[i].mask->height == 23);
    drawn += found[i].mask->runs.size() > 1;
  }
  CHECK(drawn > 40);
  CHECK(found.back().mask->runs == std::vector<std::uint32_t>{37 * 23});
}

TEST_CASE("a probability of exactly 0.5 is outside, as in torchvision's evaluation") {
  Instances instances{.width = 64, .height = 64, .mask_side = 4};
  instances.found = {{{16, 16, 32, 32}, 0.9F, 1, std::vector<float>(16, 0.5F)}};
  const auto inside = [&] {
    return coco_detections(instances, class_map({none, 1}), 1)[0].mask->runs.size() > 1;
  };
  CHECK_FALSE(inside());
  instances.found[0].mask.assign(16, 0.51F);
  CHECK(inside());
}

TEST_CASE("images that are left out take their annotations with them") {
  CocoAnnotations all = with_categories({{1, "a"}});
  all.images = {{2, "two", 5, 5}, {4, "four", 5, 5}, {9, "nine", 5, 5}};
  all.annotations = {{.id = 1, .image = 2, .category = 1},
                     {.id = 2, .image = 4, .category = 1},
                     {.id = 3, .image = 9, .category = 1}};
  const std::vector<std::int64_t> ids{2, 9};
  keep_coco_images(all, ids);
  REQUIRE(all.images.size() == 2);
  CHECK(all.images[1].file_name == "nine");
  REQUIRE(all.annotations.size() == 2);
  CHECK(all.annotations[1].id == 3);
}

}  // namespace atrous::coco_detect_test
