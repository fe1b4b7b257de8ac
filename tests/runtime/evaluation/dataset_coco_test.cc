// COCO's masks and the truth that its instances make in VOC's classes.
#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "runtime/evaluation/coco_instances.h"
#include "runtime/evaluation/dataset.h"
#include "runtime/instances/coco_mask.h"
#include "tests/support/dataset_testing.h"
#include "tests/support/image_helpers.h"

namespace atrous::dataset_coco_test {

using namespace atrous::testing;

namespace {

// A polygon's mask as rows of '.' and '#'.
std::string drawn(const std::vector<double>& corners, int width, int height) {
  std::vector<CocoSpan> spans;
  add_coco_polygon(spans, coco_fifths(corners), width, height);
  merge_coco_spans(spans);
  std::string rows;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const auto pixel = static_cast<std::uint32_t>(x * height + y);
      const bool inside =
          std::ranges::any_of(spans, [pixel](CocoSpan s) { return s.begin <= pixel && pixel < s.end; });
      rows += inside ? '#' : '.';
    }
    rows += y + 1 < height ? "/" : "";
  }
  return rows;
}

std::vector<CocoSpan> spans(std::initializer_list<std::uint32_t> runs, int width, int height) {
  std::vector<CocoSpan> out;
  add_coco_runs(out, std::vector<std::uint32_t>(runs), width, height);
  return out;
}

// A tree with one photo of 3x2 pixels and these annotations, image 7.
struct CocoTree : DatasetTree {
  explicit CocoTree(const std::string& annotations, const std::string& more = {}) {
    photo("val2017/a.jpg");
    whole(R"({"images":[{"id":7,"file_name":"a.jpg","width":3,"height":2}],"annotations":[)" + annotations +
          "]" + more + "}");
  }
  void whole(const std::string& json) const { file("annotations/instances_val2017.json", json); }
  Dataset open() const { return open_dataset("coco-voc", root()); }
  std::vector<std::uint8_t> truth() const {
    const Dataset dataset = open();
    return dataset.truth(dataset.samples.at(0)).labels;
  }
  // What is wrong, without the path.
  std::string refusal() const {
    const std::string said = sentence([this] { truth(); }),
                      path = *this / "annotations/instances_val2017.json";
    if (!said.empty()) CHECK(said.starts_with(path + ": "));
    return said.empty() ? said : said.substr(path.size() + 2);
  }
};

std::string annotation(int category, const std::string& segmentation, int image = 7) {
  return str_cat(R"({"segmentation":)", segmentation, R"(,"area":2.5,"iscrowd":0,"image_id":)", image,
                 R"(,"bbox":[0,0,1,1],"category_id":)", category, R"(,"id":5})");
}

const std::string whole = "[[0,0,0,2,3,2,3,0]]", left = "[[0,0,0,2,1,2,1,0]]";

using Labels = std::vector<std::uint8_t>;

}  // namespace

TEST_CASE("a rectangle on whole pixels covers them exactly") {
  CHECK(drawn({1, 1, 1, 3, 4, 3, 4, 1}, 6, 4) == "....../.###../.###../......");
  CHECK(drawn({4, 1, 4, 3, 1, 3, 1, 1}, 6, 4) == "....../.###../.###../......");  // the other way round
  CHECK(drawn({0, 0, 0, 4, 6, 4, 6, 0}, 6, 4) == "######/######/######/######");
}

TEST_CASE("a pixel belongs to a rectangle that covers its centre's fifth") {
  // Fifths 0..2 of a column reach its middle, 0..1 do not.
  CHECK(drawn({0, 0, 0, 1, 0.6, 1, 0.6, 0}, 2, 1) == "#.");
  CHECK(drawn({0, 0, 0, 1, 0.4, 1, 0.4, 0}, 2, 1) == "..");
  CHECK(drawn({0, 0, 0, 0.6, 1, 0.6, 1, 0}, 1, 2) == "#/.");
  CHECK(drawn({0, 0, 0, 0.4, 1, 0.4, 1, 0}, 1, 2) == "./.");
}

TEST_CASE("a triangle is cut along its slope") {
  // At column c's middle the slope is 18 - 5c fifths down, a step later 17 - 5c: rows above 3 - c are inside.
  CHECK(drawn({0, 0, 4, 0, 0, 4}, 4, 4) == "###./##../#.../....");
  CHECK(drawn({0, 0, 4, 4, 0, 4}, 4, 4) == "#.../##../###./####");
}

TEST_CASE("a triangle on a slope drawn from either end is the same") {
  for (const std::vector<double>& corners :
       {std::vector<double>{0, 0, 5, 2, 1, 6}, {1, 6, 0, 0, 5, 2}, {5, 2, 1, 6, 0, 0}, {1, 6, 5, 2, 0, 0}})
    CHECK(drawn(corners, 6, 6) == drawn({0, 0, 5, 2, 1, 6}, 6, 6));
}

TEST_CASE("polygons with nothing in a pixel's middle vanish") {
  CHECK(drawn({1.2, 0, 1.2, 3, 1.3, 3, 1.3, 0}, 3, 3) == ".../.../...");
  CHECK(drawn({1, 1, 1, 1, 1, 1}, 3, 3) == ".../.../...");
  CHECK(drawn({0, 1, 3, 1, 0, 1}, 3, 3) == ".../.../...");
}

TEST_CASE("a polygon beyond the picture's edges is cut there") {
  CHECK(drawn({-5, -5, -5, 9, 9, 9, 9, -5}, 3, 2) == "###/###");
  CHECK(drawn({-5, -5, -5, 1, 2, 1, 2, -5}, 3, 2) == "##./...");
  CHECK(drawn({-5, -5, -5, -1, 9, -1, 9, -5}, 3, 2) == ".../...");
  CHECK(drawn({5, 5, 5, 8, 8, 8, 8, 5}, 3, 2) == ".../...");
  CHECK(drawn({-1e6, -1e6, -1e6, 1e6, 1e6, 1e6, 1e6, -1e6}, 3, 2) == "###/###");
}

TEST_CASE("where a polygon covers itself twice, it is outside") {
  // Once around the whole, and once more around its right half.
  CHECK(drawn({0, 0, 0, 2, 4, 2, 4, 0, 2, 0, 2, 2, 4, 2, 4, 0}, 4, 2) == "##../##..");
  // A figure of eight keeps both loops.
  CHECK(drawn({0, 0, 4, 4, 4, 0, 0, 4}, 4, 4) == "#..#/####/#..#/....");
}

TEST_CASE("one pixel") {
  CHECK(drawn({0, 0, 0, 1, 1, 1, 1, 0}, 1, 1) == "#");
  CHECK(drawn({1, 1, 1, 2, 2, 2, 2, 1}, 3, 3) == ".../.#./...");
}

TEST_CASE("a coordinate far beyond any picture is refused") {
  CHECK(contains(sentence([] { coco_fifths(std::vector<double>{0, -1.1e6}); }), "beyond 1e+06"));
  CHECK(coco_fifths(std::vector<double>{0.1, 0.09, -0.3, -0.1}) == std::vector<std::int32_t>{1, 0, -1, 0});
}

TEST_CASE("an outline that crosses the picture millions of times is refused") {
  std::vector<std::int32_t> zigzag;
  for (int i = 0; i < 1000; ++i) {
    zigzag.insert(zigzag.end(), {0, i});
    zigzag.insert(zigzag.end(), {5 * 10000, i});
  }
  std::vector<CocoSpan> out;
  CHECK(contains(sentence([&] { add_coco_polygon(out, zigzag, 10000, 10); }), "crosses more than 4194304"));
}

TEST_CASE("runs count down the columns, outside first") {
  CHECK(spans({1, 2, 2, 1}, 3, 2) == std::vector<CocoSpan>{{1, 3}, {5, 6}});
  CHECK(spans({0, 6}, 3, 2) == std::vector<CocoSpan>{{0, 6}});
  CHECK(spans({6}, 3, 2).empty());
  CHECK(sentence([] { spans({1, 2}, 3, 2); }) == "the runs of a mask add up to less than 3x2 pixels");
  CHECK(sentence([] { spans({1, 2, 4}, 3, 2); }) == "the runs of a mask add up to more than 3x2 pixels");
  CHECK(contains(sentence([] { spans({4294967295u, 4294967295u, 8}, 3, 2); }), "more than"));
}

TEST_CASE("spans that touch or overlap become one") {
  std::vector<CocoSpan> all{{7, 9}, {0, 2}, {1, 4}, {4, 5}, {2, 3}};
  merge_coco_spans(all);
  CHECK(all == std::vector<CocoSpan>{{0, 5}, {7, 9}});
}

TEST_CASE("compressed runs: five bits a character, differences from the fourth on") {
  CHECK(decode_coco_runs("").empty());
  CHECK(decode_coco_runs("162") == std::vector<std::uint32_t>{1, 6, 2});
  CHECK(decode_coco_runs("1620") == std::vector<std::uint32_t>{1, 6, 2, 6});  // 6 + 0
  CHECK(decode_coco_runs("162O") == std::vector<std::uint32_t>{1, 6, 2, 5});  // 6 - 1
  CHECK(decode_coco_runs("PP1") == std::vector<std::uint32_t>{1024});         // 0 + 0 * 32 + 1 * 1024
  CHECK(decode_coco_runs("`00") == std::vector<std::uint32_t>{16, 0});        // 16 needs a second group
}

TEST_CASE("damaged compressed runs are refused") {
  for (const std::string damaged : {"P", "/", "p", "1 6", "PPPPPPPPP0", "\xff", "O", "1111PPPPPP2"}) {
    CAPTURE(damaged);
    CHECK(contains(sentence([&] { decode_coco_runs(damaged); }), "compressed runs of a mask"));
  }
}

TEST_CASE("coco-voc: one instance has its class, several are void, the rest is background") {
  CHECK(CocoTree("").truth() == Labels{0, 0, 0, 0, 0, 0});
  CHECK(CocoTree(annotation(1, left)).truth() == Labels{15, 0, 0, 15, 0, 0});
  CHECK(CocoTree(annotation(18, whole) + "," + annotation(18, left)).truth() ==
        Labels{255, 12, 12, 255, 12, 12});
  // Three are void too, and polygons of one instance may overlap.
  CHECK(CocoTree(annotation(5, left) + "," + annotation(2, left) + "," + annotation(3, left)).truth() ==
        Labels{255, 0, 0, 255, 0, 0});
  CHECK(CocoTree(annotation(5, "[" + left.substr(1, left.size() - 2) + "," + whole.substr(1))).truth() ==
        Labels{1, 1, 1, 1, 1, 1});
}

TEST_CASE("coco-voc: VOC's classes are found by COCO's category, others do not count") {
  const int categories[]{5, 2, 16, 9, 44, 6, 3, 17, 62, 21, 67, 18, 19, 4, 1, 64, 20, 63, 7, 72};
  for (int category = 0; category <= 91; ++category) {
    CAPTURE(category);
    const auto found = std::ranges::find(categories, category);
    const auto expected = found == std::end(categories) ? 0 : found - std::begin(categories) + 1;
    CHECK(int{CocoTree(annotation(category, whole)).truth()[0]} == expected);
  }
}

TEST_CASE("coco-voc: crowds count, as runs or compressed, whichever way round their keys are") {
  CHECK(CocoTree(annotation(1, R"({"counts":[1,2,3],"size":[2,3]})")).truth() == Labels{0, 15, 0, 15, 0, 0});
  CHECK(CocoTree(annotation(1, R"({"size":[2,3],"counts":"123"})")).truth() == Labels{0, 15, 0, 15, 0, 0});
  CHECK(CocoTree(annotation(1, R"({"counts":[1,2,3],"size":[3,2]})")).refusal() ==
        "a.jpg: annotation 5: its mask is 2x3, the image 3x2");
  CHECK(CocoTree(annotation(1, R"({"counts":[1,2,4],"size":[2,3]})")).refusal() ==
        "a.jpg: annotation 5: the runs of a mask add up to more than 3x2 pixels");
}

TEST_CASE("coco-voc: a list of four numbers is a box") {
  CHECK(CocoTree(annotation(1, "[[1,0,2,1]]")).truth() == Labels{0, 15, 15, 0, 0, 0});
}

TEST_CASE("coco-voc: photos in the order of their ids, each with its own annotations") {
  const DatasetTree tree;
  for (const char* name : {"images/val2017/b.jpg", "images/val2017/c.png", "images/val2017/a.jpg"})
    tree.photo(name);
  tree.file("annotations/instances_val2017.json",
            R"({"annotations":[)" + annotation(1, "[[0,0,0,1,1,1,1,0]]", 3) + "," +
                annotation(2, "[[0,0,0,1,1,1,1,0]]", 1) + "," + annotation(3, "[[0,0,0,1,1,1,1,0]]", 99) +
                R"(],"images":[{"id":3,"file_name":"a.jpg","width":1,"height":1},)"
                R"({"id":2,"file_name":"c.png","width":2,"height":1},)"
                R"({"license":4,"id":1,"file_name":"b.jpg","height":1,"width":1}]})");
  const Dataset dataset = open_dataset("coco-voc", tree.root());
  CHECK(dataset.set == "val2017");
  CHECK(dataset.classes.size() == 21);
  REQUIRE(dataset.samples.size() == 3);
  CHECK(dataset.samples[0].name == "b");
  CHECK(dataset.samples[1].photo == tree / "images/val2017/c.png");
  CHECK(dataset.truth(dataset.samples[0]).labels == Labels{2});
  CHECK(dataset.truth(dataset.samples[1]).labels == Labels{0, 0});
  CHECK(dataset.truth(dataset.samples[2]).labels == Labels{15});
  tree.remove("images/val2017/c.png");
  CHECK(contains(sentence([&] { open_dataset("coco-voc", tree.root()); }),
                 "images/val2017/c.*: no such photo; 1 of 3 photos have none"));
}

TEST_CASE("coco-voc: categories that are not COCO's are refused") {
  CHECK(
      CocoTree("", R"(,"categories":[{"id":1,"name":"person"},{"id":8,"name":"lorry"}])").refusal().empty());
  CHECK(CocoTree("", R"(,"categories":[{"id":8,"name":"x"},{"id":1,"name":"dog\u001b"}])").refusal() ==
        "category 1 is dog\\x1b, in COCO it is person (number 2 of categories)");
}

TEST_CASE("coco-voc: annotations that are none are refused with what they lack") {
  const auto refused = [](const std::string& json) { return CocoTree(json).refusal(); };
  CHECK(refused("{}") == "there is no whole number category_id (number 1 of annotations)");
  CHECK(refused(R"({"category_id":1})") == "there is no whole number id (number 1 of annotations)");
  CHECK(refused(R"({"category_id":1.5,"id":1})") ==
        "there is no whole number category_id (number 1 of annotations)");
  CHECK(refused(R"({"category_id":1,"id":1})") ==
        "there is no whole number image_id (number 1 of annotations)");
  const auto shape = [&](const std::string& segmentation) { return refused(annotation(1, segmentation)); };
  CHECK(shape("[]") == "annotation 5 has no segmentation (number 1 of annotations)");
  CHECK(shape("[[]]") == "annotation 5 has a polygon of 0 numbers (number 1 of annotations)");
  CHECK(shape("[[1,2]]") == "annotation 5 has a polygon of 2 numbers (number 1 of annotations)");
  CHECK(shape("[[1,2,3,4,5,6,7]]") == "annotation 5 has a polygon of 7 numbers (number 1 of annotations)");
  CHECK(contains(shape("[[1,2,3,4,5,1e300]]"), "beyond 1e+06"));
  CHECK(contains(shape(R"({"counts":[6]})"), "a mask without a size"));
  CHECK(contains(shape(R"({"counts":[6],"size":[2,3,1]})"), "a mask without a size"));
  CHECK(contains(shape(R"({"counts":[6],"size":[-2,3]})"), "a mask without a size"));
  CHECK(contains(shape(R"({"counts":[-6],"size":[2,3]})"), "a run of -6 pixels"));
  CHECK(contains(shape(R"({"counts":"~~","size":[2,3]})"), "damaged at character 0"));
}

TEST_CASE("coco-voc: files that are no annotations are refused") {
  const CocoTree tree("");
  const auto refused = [&](const std::string& json) {
    tree.whole(json);
    return tree.refusal();
  };
  CHECK(contains(refused(""), "not JSON"));
  CHECK(contains(refused(R"({"images":[)"), "not JSON"));
  CHECK(contains(refused(R"({"images":[],"annotations":[]} x)"), "not JSON"));
  CHECK(contains(refused(R"({"images":[{"id":1e999}]})"), "not JSON"));
  CHECK(contains(refused("[]"), "found a list"));
  CHECK(contains(refused("{}"), "found none"));
  CHECK(contains(refused(R"({"images":{},"annotations":[]})"), "found none"));
  CHECK(contains(refused("7"), "found none"));
  CHECK(contains(refused(R"({"images":)" + std::string(1'000'000, '[')), "nests deeper than 64 levels"));
  CHECK(contains(refused(R"({"images":[{"id":1,"width":3,"height":0}],"annotations":[]})"), "is 3x0"));
  CHECK(
      contains(refused(R"({"images":[{"id":1,"width":4000000000,"height":4000000000}]})"), "expected 1 to"));
  CHECK(contains(refused(R"({"images":[{"id":1,"width":3,"height":2},{"id":1,"width":3,"height":2}],)"
                         R"("annotations":[]})"),
                 "two images have the id 1"));
  for (const char* name : {"../a.jpg", "/etc/passwd", "", "..", "a\\u001b.jpg"})
    CHECK(contains(refused(str_cat(R"({"images":[{"id":1,"file_name":")", name,
                                   R"(","width":3,"height":2}],"annotations":[]})")),
                   "image 1 has a file name that leads elsewhere"));
}

TEST_CASE("coco-voc: fields of the wrong kind are passed by, as are those nobody asked for") {
  const CocoTree tree("");
  tree.whole(
      R"({"info":[[{"images":[1]}]],"licenses":[{"id":1}],"images":[7,[8],{"id":7,"file_name":"a.jpg",)"
      R"("width":3,"height":2,"x":{"id":9,"width":[5]},"flag":true,"none":null}],)"
      R"("annotations":["a",{"category_id":90,"segmentation":[[1]]}]})");
  CHECK(tree.truth() == Labels{0, 0, 0, 0, 0, 0});
}

TEST_CASE("coco-voc: polygons and masks are drawn as another program draws them") {
  if (std::system("/usr/bin/python3 -c 'import numpy' 2>/dev/null") != 0) {
    std::puts("skipped: python3-numpy is not installed");
    return;
  }
  const TemporaryFolder folder;
  const std::string command = str_cat("/usr/bin/python3 '", ATROUS_SOURCE_DIR,
                                      "/tests/python/draw_coco_masks.py' '", folder.path(), "'");
  REQUIRE(std::system(command.c_str()) == 0);
  const Dataset dataset = open_dataset("coco-voc", folder.path());
  CHECK(dataset.samples.size() == 120);
  for (const DatasetSample& sample : dataset.samples) {
    CAPTURE(sample.name);
    const std::vector<std::byte> expected = read_file(folder / ("truth/" + sample.name + ".raw"), 1u << 20);
    const LabelMap truth = dataset.truth(sample);
    REQUIRE(expected.size() == truth.labels.size());
    CHECK(std::memcmp(expected.data(), truth.labels.data(), expected.size()) == 0);
  }
}

}  // namespace atrous::dataset_coco_test
