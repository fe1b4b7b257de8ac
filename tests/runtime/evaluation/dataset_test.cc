// The layouts of datasets: which pictures they list and what becomes of their labels.
#include "runtime/evaluation/dataset.h"

#include <doctest/doctest.h>

#include "runtime/image/palette.h"
#include "tests/support/dataset_testing.h"
#include "tests/support/image_helpers.h"

namespace atrous::dataset_test {

using namespace atrous::testing;

namespace {

using Labels = std::vector<std::uint8_t>;

std::vector<std::string> names(const Dataset& dataset) {
  std::vector<std::string> out;
  for (const DatasetSample& sample : dataset.samples) out.push_back(sample.name);
  return out;
}

Labels truth(const Dataset& dataset, std::size_t sample = 0) {
  return read_truth(dataset, dataset.samples.at(sample)).map.labels;
}

std::string refusal(std::string_view kind, const DatasetTree& tree, const DatasetOptions& options = {}) {
  return sentence([&] { open_dataset(kind, tree.root(), options); });
}

// Every raw label of 0..255: those refused are -1.
std::vector<int> table(const Dataset& dataset) {
  std::vector<int> out(256, -1);
  for (std::size_t raw = 0; raw < 256; ++raw)
    if (dataset.known[raw]) out[raw] = dataset.lookup[raw];
  return out;
}

struct VocTree : DatasetTree {
  VocTree() {
    for (const char* name : {"2007_b", "2007_a", "2008_c"}) photo(std::string("JPEGImages/") + name + ".jpg");
    labels("SegmentationClass/2007_a.png", {0, 20, 255});
    labels("SegmentationClass/2007_b.png", {1, 2, 3});
    file("ImageSets/Segmentation/val.txt", "\ufeff2007_b\r\n\n2007_a \n");
    file("ImageSets/Segmentation/train.txt", "2007_a");
  }
};

}  // namespace

TEST_CASE("a dataset's kind is one of those listed") {
  CHECK(dataset_kinds().size() == 9);
  const std::string said = sentence([] { open_dataset("kitti", "/"); });
  CHECK(said.starts_with("no kind of dataset is called kitti; there are voc, "));
  for (const DatasetKind& kind : dataset_kinds()) CHECK(contains(said, kind.name));
}

TEST_CASE("every kind names the folder it did not find, and its layout") {
  const DatasetTree tree;
  for (const DatasetKind& kind : dataset_kinds()) {
    CAPTURE(kind.name);
    const std::string said = sentence([&] {
      open_dataset(kind.name, tree / "none", {"val", tree / "labels"});
    });
    CHECK(said.starts_with(tree / "none"));
    CHECK(contains(said, str_cat("(", kind.name, ": ", kind.layout, ")")));
  }
}

TEST_CASE("voc: the pictures of a set, in its list's order") {
  const VocTree tree;
  const Dataset dataset = open_dataset("voc", tree.root());
  CHECK(dataset.kind == "voc");
  CHECK(dataset.set == "val");
  CHECK(names(dataset) == std::vector<std::string>{"2007_b", "2007_a"});
  CHECK(dataset.samples[0].photo == tree / "JPEGImages/2007_b.jpg");
  CHECK(dataset.samples[0].label == tree / "SegmentationClass/2007_b.png");
  CHECK(dataset.classes == voc_classes());
  CHECK(dataset.palette == voc_palette(21));
  CHECK(truth(dataset, 0) == Labels{1, 2, 3});
  CHECK(truth(dataset, 1) == Labels{0, 20, 255});
  CHECK(names(open_dataset("voc", tree.root(), {"train", ""})) == std::vector<std::string>{"2007_a"});
}

TEST_CASE("voc: the kit may lie in the year's folder, or in the archive's") {
  for (const std::string prefix : {"VOC2012/", "VOCdevkit/VOC2012/"}) {
    const DatasetTree tree;
    tree.photo(prefix + "JPEGImages/a.JPEG");
    tree.labels(prefix + "SegmentationClass/a.png", {7});
    tree.file(prefix + "ImageSets/Segmentation/val.txt", "a\n");
    CHECK(truth(open_dataset("voc", tree.root())) == Labels{7});
  }
}

TEST_CASE("voc: without lists all label maps count") {
  const VocTree tree;
  tree.remove("ImageSets");
  const Dataset dataset = open_dataset("voc", tree.root());
  CHECK(names(dataset) == std::vector<std::string>{"2007_a", "2007_b"});
  CHECK(dataset.set.empty());
  // But not for who asked for a set.
  CHECK(refusal("voc", tree, {"train", ""})
            .starts_with(tree / "ImageSets/Segmentation/train.txt: no such file"));
}

TEST_CASE("voc: labels other than the 21 and void are refused with file, value and pixel") {
  const VocTree tree;
  tree.labels("SegmentationClass/2007_b.png", {1, 2, 21});
  const Dataset dataset = open_dataset("voc", tree.root());
  CHECK(sentence([&] { truth(dataset); }) ==
        tree / "SegmentationClass/2007_b.png" + ": the label 21 at pixel (2, 0) is none of voc");
}

TEST_CASE("voc: what is missing is named, first and count") {
  const VocTree tree;
  tree.file("ImageSets/Segmentation/val.txt", "2008_c\n2007_a\n2009_d\n");
  CHECK(refusal("voc", tree)
            .starts_with(tree / "JPEGImages/2009_d.*" + ": no such photo; 1 of 3 photos have none (voc: "));
  tree.photo("JPEGImages/2009_d.jpg");
  CHECK(refusal("voc", tree)
            .starts_with(tree / "SegmentationClass/2008_c.png" +
                         ": no such label map; 2 of 3 photos have none (voc: "));
  CHECK(refusal("voc", tree, {"test", ""})
            .starts_with(tree / "ImageSets/Segmentation/test.txt" + ": no such file (voc: "));
}

TEST_CASE("voc: two photos of one name are ambiguous") {
  const VocTree tree;
  tree.photo("JPEGImages/2007_a.png");
  CHECK(contains(refusal("voc", tree), "either could be meant"));
}

TEST_CASE("a list's names lead nowhere but into the dataset's folders") {
  const VocTree tree;
  tree.photo("outside.jpg");
  tree.labels("outside.png", {0});
  const std::string list = tree / "ImageSets/Segmentation/val.txt";
  for (const std::string hostile :
       {"../outside", "/etc/passwd", "..", ".", "a/../2007_a", "..\\outside", "2007_a\x1b[2J", "\xff\xfe"}) {
    CAPTURE(hostile);
    tree.file("ImageSets/Segmentation/val.txt", "2007_a\n" + hostile + "\n");
    CHECK(refusal("voc", tree).starts_with(list + ": line 2: expected the name of a picture, found "));
  }
  tree.file("ImageSets/Segmentation/val.txt", std::string(100'000, 'x'));
  CHECK(refusal("voc", tree).size() < list.size() + 250);
  tree.file("ImageSets/Segmentation/val.txt", std::string("2007_a\0\n", 8));
  CHECK(contains(refusal("voc", tree), "line 1: expected the name"));
}

TEST_CASE("a list with nothing in it, or with a name twice, is refused") {
  const VocTree tree;
  const std::string list = tree / "ImageSets/Segmentation/val.txt";
  tree.file("ImageSets/Segmentation/val.txt", "\n \r\n");
  CHECK(refusal("voc", tree) == list + ": lists no pictures");
  tree.file("ImageSets/Segmentation/val.txt", "2007_a\n2007_b\n2007_a\n");
  CHECK(refusal("voc", tree) == list + ": line 3: 2007_a is listed twice");
}

TEST_CASE("a set's name is no path") {
  const VocTree tree;
  for (const char* set : {"../train", "..", "a/b", "\x1b"})
    for (const DatasetKind& kind : dataset_kinds())
      if (kind.name != "pairs") CHECK(contains(refusal(kind.name, tree, {set, ""}), kind.name));
  CHECK(refusal("voc", tree, {"../Segmentation/val", ""}) ==
        "voc: ../Segmentation/val is not the name of a set");
}

TEST_CASE("camvid: a set's photos and its annotations, 11 is void") {
  const DatasetTree tree;
  tree.photo("val/b.png");
  tree.photo("val/a.png");
  tree.photo("test/c.png");
  tree.labels("valannot/a.png", {0, 10, 11});
  tree.labels("valannot/b.png", {5, 12});
  const Dataset dataset = open_dataset("camvid", tree.root());
  CHECK(names(dataset) == std::vector<std::string>{"a", "b"});
  CHECK(truth(dataset, 0) == Labels{0, 10, 255});
  CHECK(contains(sentence([&] { truth(dataset, 1); }), "valannot/b.png: the label 12 at pixel (1, 0)"));
  CHECK(dataset.classes.size() == 11);
  CHECK(dataset.classes[10] == "bicyclist");
  CHECK(dataset.palette.size() == 11);
  CHECK(dataset.palette[4] == Colour{60, 40, 222});
  CHECK(contains(refusal("camvid", tree, {"test", ""}), "testannot: no such folder"));
}

TEST_CASE("cityscapes: ids become train ids over all cities") {
  const DatasetTree tree;
  const std::string b = "val/bonn/bonn_0_0", a = "val/aachen/aachen_1_2";
  for (const std::string& name : {a, b}) tree.photo("leftImg8bit/" + name + "_leftImg8bit.png");
  tree.labels("gtFine/" + b + "_gtFine_labelIds.png", {7, 33, 0, 255});
  tree.labels("gtFine/" + b + "_gtFine_instanceIds.png", {1});
  tree.labels("gtFine/" + a + "_gtFine_labelIds.png", {34});
  const Dataset dataset = open_dataset("cityscapes", tree.root());
  CHECK(names(dataset) == std::vector<std::string>{"aachen_1_2", "bonn_0_0"});
  CHECK(truth(dataset, 1) == Labels{0, 18, 255, 255});
  CHECK(contains(sentence([&] { truth(dataset, 0); }), "the label 34 at pixel (0, 0)"));
  CHECK(dataset.classes.size() == 19);
  CHECK(dataset.classes[18] == "bicycle");
  CHECK(dataset.palette[13] == Colour{0, 0, 142});
  tree.remove("gtFine/val/aachen");
  CHECK(contains(refusal("cityscapes", tree), "aachen_1_2"));
  CHECK(contains(refusal("cityscapes", tree), "1 of 2 photos have none"));
}

TEST_CASE("cityscapes: exactly 19 of the 34 ids are classes") {
  const DatasetTree tree;
  tree.photo("leftImg8bit/val/x/x_leftImg8bit.png");
  tree.labels("gtFine/val/x/x_gtFine_labelIds.png", {0});
  std::vector<int> expected(256, -1);
  for (int id = 0; id < 34; ++id) expected[static_cast<std::size_t>(id)] = 255;
  expected[255] = 255;
  int train_id = 0;
  for (const auto id :
       {7u, 8u, 11u, 12u, 13u, 17u, 19u, 20u, 21u, 22u, 23u, 24u, 25u, 26u, 27u, 28u, 31u, 32u, 33u})
    expected[id] = train_id++;
  CHECK(table(open_dataset("cityscapes", tree.root())) == expected);
}

TEST_CASE("cityscapes: a picture in two cities' folders is refused") {
  const DatasetTree tree;
  tree.photo("leftImg8bit/val/x/a_leftImg8bit.png");
  tree.photo("leftImg8bit/val/y/a_leftImg8bit.png");
  CHECK(contains(refusal("cityscapes", tree), "a is in another city's folder too"));
}

TEST_CASE("ade20k: 150 classes count from one, 0 is void, 255 is a mistake") {
  const DatasetTree tree;
  tree.photo("images/validation/ADE_val_1.jpg");
  tree.labels("annotations/validation/ADE_val_1.png", {0, 1, 150, 151});
  const Dataset dataset = open_dataset("ade20k", tree.root());
  CHECK(dataset.set == "validation");
  CHECK(dataset.classes.size() == 150);
  CHECK(dataset.classes[149] == "class 149");
  const std::vector<int> expected = table(dataset);
  CHECK(expected[0] == 255);
  CHECK(expected[1] == 0);
  CHECK(expected[150] == 149);
  CHECK(expected[151] == -1);
  CHECK(expected[255] == -1);
  CHECK(contains(sentence([&] { truth(dataset); }), "the label 151 at pixel (3, 0)"));
  tree.photo("images/training/t.jpg");
  tree.labels("annotations/training/t.png", {3});
  CHECK(truth(open_dataset("ade20k", tree.root(), {"train", ""})) == Labels{2});
}

TEST_CASE("ade20k: names are read from the list that it ships") {
  const DatasetTree tree;
  tree.photo("images/validation/a.jpg");
  tree.labels("annotations/validation/a.png", {1});
  tree.file(
      "objectInfo150.txt",
      "Idx\tRatio\tTrain\tVal\tStuff\tName\r\n1\t0.1576\t11664\t1172\t1\twall\r\n"
      "2\t0.1072\t6046\t612\t1\tbuilding, edifice\n150\t0.0\t1\t2\t0\tflag  \n151\t0\t0\t0\t0\tnothing\n");
  const Dataset dataset = open_dataset("ade20k", tree.root());
  CHECK(dataset.classes[0] == "wall");
  CHECK(dataset.classes[1] == "building");
  CHECK(dataset.classes[2] == "class 2");
  CHECK(dataset.classes[149] == "flag");
  tree.file("objectInfo150.txt", "1\t0\twall\n1\t0\tsky\n");
  CHECK(contains(refusal("ade20k", tree), "objectInfo150.txt: line 2: class 1 is named twice"));
  tree.file("objectInfo150.txt", "1\t0\t\x1b[2J\n");
  CHECK(contains(refusal("ade20k", tree), "\\x1b[2J is no class's name"));
}

TEST_CASE("pascal-context: 59 classes without background, or 60 with it") {
  const DatasetTree tree;
  tree.photo("VOC2010/JPEGImages/a.jpg");
  tree.labels("VOC2010/SegmentationClassContext/a.png", {0, 1, 59});
  tree.file("VOC2010/ImageSets/SegmentationContext/val.txt", "a\n");
  const Dataset without = open_dataset("pascal-context", tree.root());
  CHECK(truth(without) == Labels{255, 0, 58});
  CHECK(without.classes.size() == 59);
  const Dataset with = open_dataset("pascal-context-60", tree.root());
  CHECK(truth(with) == Labels{0, 1, 59});
  CHECK(with.classes[0] == "background");
  CHECK(with.classes[1] == "class 1");
  CHECK(table(without)[60] == -1);
  CHECK(table(with)[60] == -1);
  CHECK(table(with)[255] == -1);

  tree.file("VOC2010/59_labels.txt", "1: aeroplane\n59: wood\n60: beyond\n");
  CHECK(open_dataset("pascal-context", tree.root()).classes[58] == "wood");
  CHECK(open_dataset("pascal-context-60", tree.root()).classes[59] == "wood");
  CHECK(open_dataset("pascal-context-60", tree.root()).classes[2] == "class 2");
}

TEST_CASE("coco-stuff: 182 classes, COCO's id less one, named by a list that counts from one") {
  const DatasetTree tree;
  tree.photo("images/val2017/000000000139.jpg");
  tree.labels("annotations/val2017/000000000139.png", {0, 181, 255});
  tree.file("labels.txt", "0: unlabeled\n1: person\n182: wood\n");
  const Dataset dataset = open_dataset("coco-stuff", tree.root());
  CHECK(truth(dataset) == Labels{0, 181, 255});
  CHECK(dataset.classes.size() == 182);
  CHECK(dataset.classes[0] == "person");
  CHECK(dataset.classes[1] == "class 1");
  CHECK(dataset.classes[181] == "wood");
  CHECK(table(dataset)[182] == -1);
  tree.labels("stuffthingmaps/val2017/000000000139.png", {3});
  CHECK(truth(open_dataset("coco-stuff", tree.root(), {"val", ""})) == Labels{3});
}

TEST_CASE("pairs: photos and label maps of the same stem") {
  const DatasetTree tree;
  for (const char* name : {"b.jpg", "a.PNG", "c.ppm", "notes.txt"}) tree.photo(std::string("photos/") + name);
  tree.labels("labels/a.png", {0, 254, 255});
  tree.labels("labels/b.labels.png", {1});
  tree.labels("labels/c.png", {2});
  tree.labels("labels/unused.png", {2});
  const Dataset dataset = open_dataset("pairs", tree / "photos", {"", tree / "labels"});
  CHECK(names(dataset) == std::vector<std::string>{"a", "b", "c"});
  CHECK(dataset.classes.empty());
  CHECK(truth(dataset, 0) == Labels{0, 254, 255});
  CHECK(dataset.samples[1].label == tree / "labels/b.labels.png");
  tree.labels("labels/a.labels.png", {0});
  CHECK(contains(sentence([&] {
                   open_dataset("pairs", tree / "photos", {"", tree / "labels"});
                 }),
                 "a.labels.png: a.png is there too"));
}

TEST_CASE("pairs: label maps beside the photos") {
  const DatasetTree tree;
  tree.photo("a.png");
  tree.photo("b.jpg");
  tree.labels("a.labels.png", {4});
  tree.labels("b.labels.png", {5});
  const Dataset dataset = open_dataset("pairs", tree.root(), {"", tree.root() + "/."});
  CHECK(names(dataset) == std::vector<std::string>{"a", "b"});
  CHECK(truth(dataset, 0) == Labels{4});
  tree.photo("c.jpg");
  CHECK(contains(refusal("pairs", tree, {"", tree.root()}), "1 of 3 photos have none"));
}

TEST_CASE("pairs: label maps whose names have one ending for all, as CamVid's NAME_L.png") {
  for (const std::string ending : {"_L", "_mask", "-labels", ".seg"}) {
    CAPTURE(ending);
    const DatasetTree tree;
    for (const char* name : {"a", "a_1", "b"}) {
      tree.photo(str_cat("photos/", name, ".jpg"));
      tree.labels(str_cat("labels/", name, ending, ".png"), {static_cast<std::uint8_t>(name[0])});
    }
    tree.labels("labels/b_other.png", {0});  // which a has not
    const Dataset dataset = open_dataset("pairs", tree / "photos", {"", tree / "labels"});
    CHECK(names(dataset) == std::vector<std::string>{"a", "a_1", "b"});
    CHECK(dataset.samples[1].label == tree / str_cat("labels/a_1", ending, ".png"));
    CHECK(truth(dataset, 2) == Labels{'b'});
  }
}

TEST_CASE("pairs: an ending tells label maps from photos in one folder") {
  const DatasetTree tree;
  for (const char* name : {"a", "b"}) {
    tree.photo(str_cat(name, ".png"));
    tree.labels(str_cat(name, "_L.png"), {static_cast<std::uint8_t>(name[0])});
  }
  const Dataset dataset = open_dataset("pairs", tree.root(), {"", tree.root()});
  CHECK(names(dataset) == std::vector<std::string>{"a", "b"});
  CHECK(dataset.samples[0].photo == tree / "a.png");
  CHECK(truth(dataset, 1) == Labels{'b'});
  // Numbered photos are no label maps of each other.
  const DatasetTree numbered;
  for (const char* name : {"a.png", "a_1.png"}) numbered.photo(name);
  CHECK(contains(refusal("pairs", numbered, {"", numbered.root()}), "2 of 2 photos have none"));
}

TEST_CASE(
    "pairs: two endings that could be meant are refused with both names, and a missing one is missing") {
  const DatasetTree tree;
  for (const char* name : {"a", "b"}) tree.photo(str_cat("photos/", name, ".jpg"));
  for (const char* name : {"a_edge", "a_mask", "b_edge", "b_mask"})
    tree.labels(str_cat("labels/", name, ".png"), {1});
  const DatasetOptions options{"", tree / "labels"};
  const std::string said = sentence([&] { open_dataset("pairs", tree / "photos", options); });
  CHECK(contains(said, "labels/a_edge.png: a_mask.png is there too, and either could be"));
  CHECK(contains(said, "photos/a.jpg"));
  // A name of a photo's own comes first.
  for (const char* name : {"a", "b"}) tree.labels(str_cat("labels/", name, ".png"), {7});
  CHECK(truth(open_dataset("pairs", tree / "photos", options)) == Labels{7});
  for (const char* name : {"a.png", "b.png", "b_edge.png", "b_mask.png"})
    tree.remove(str_cat("labels/", name));
  CHECK(contains(sentence([&] { open_dataset("pairs", tree / "photos", options); }),
                 "a.png: no such label map; 2 of 2 photos have none"));
}

TEST_CASE("label maps may be BMP or PNM, of which a name has one") {
  const DatasetTree tree;
  for (const char* name : {"a", "b"}) tree.photo(str_cat("photos/", name, ".jpg"));
  tree.file("labels/a.pgm", "P5 2 1 255\n\1\2");
  tree.file("labels/b.PNM", "P5 1 1 255\n\3");
  const DatasetOptions options{"", tree / "labels"};
  const Dataset dataset = open_dataset("pairs", tree / "photos", options);
  CHECK(truth(dataset, 0) == Labels{1, 2});
  CHECK(truth(dataset, 1) == Labels{3});
  tree.file("labels/a.bmp", "BM");
  CHECK(
      contains(sentence([&] { open_dataset("pairs", tree / "photos", options); }), "either could be meant"));
}

TEST_CASE("pairs: two files") {
  const DatasetTree tree;
  tree.photo("a.jpg");
  tree.labels("somewhere/b.png", {9});
  const Dataset dataset = open_dataset("pairs", tree / "a.jpg", {"", tree / "somewhere/b.png"});
  CHECK(names(dataset) == std::vector<std::string>{"a"});
  CHECK(truth(dataset) == Labels{9});
  CHECK(contains(sentence([&] { open_dataset("pairs", tree / "a.jpg", {"", tree / "no.png"}); }), "no.png"));
}

TEST_CASE("pairs: both paths are needed, and photos in the first") {
  const DatasetTree tree;
  tree.photo("photos/notes.txt");
  tree.labels("labels/a.png", {0});
  CHECK(contains(refusal("pairs", tree), "pairs need two paths"));
  CHECK(sentence([&] {
          open_dataset("pairs", tree / "photos", {"", tree / "labels"});
        }).starts_with(tree / "photos" + ": no photos (pairs: "));
}

TEST_CASE("file names that are no text are refused in words that are") {
  const DatasetTree tree;
  tree.photo("photos/a\x1b[2J.png");
  const std::string said = sentence([&] { open_dataset("pairs", tree / "photos", {"", tree / "photos"}); });
  CHECK(contains(said, "a\\x1b[2J.png"));
}

TEST_CASE("a label map that is no label map is named") {
  const VocTree tree;
  tree.file("SegmentationClass/2007_b.png", "no picture");
  const Dataset dataset = open_dataset("voc", tree.root());
  CHECK(sentence([&] { truth(dataset); }).starts_with(tree / "SegmentationClass/2007_b.png" + ": "));
}

namespace {

// The PNG of a picture one pixel high.
std::string colour_row(const std::vector<Colour>& colours) {
  Image picture{static_cast<int>(colours.size()), 1, 3, {}};
  for (const Colour& c : colours) picture.pixels.insert(picture.pixels.end(), c.begin(), c.end());
  return std::string(as_text(encode_png(picture)));
}

constexpr Colour black{0, 0, 0}, purple{128, 64, 128}, blue{0, 0, 142};

// photos/a.jpg and masks/a.png of colours.
struct ColourTree : DatasetTree {
  ColourTree() {
    photo("all/photos/a.jpg");
    file("all/masks/a.png", colour_row({purple, blue, black}));
  }
  Dataset open(const DatasetOptions& more = {}) const {
    DatasetOptions options = more;
    options.labels = *this / "all/masks";
    return open_dataset("pairs", *this / "all/photos", options);
  }
};

}  // namespace

TEST_CASE("a class_dict.csv in a folder of the pairs or beside one names their classes and colours") {
  for (const char* place : {"all/class_dict.csv", "all/masks/class_dict.csv", "all/photos/class_dict.csv"}) {
    CAPTURE(place);
    const ColourTree tree;
    tree.file(place, "name,r,g,b\nvoid,0,0,0\nroad,128,64,128\ncar,0,0,142\n");
    const Dataset dataset = tree.open();
    CHECK(dataset.classes == std::vector<std::string>{"void", "road", "car"});
    CHECK(dataset.palette == Palette{black, purple, blue});
    CHECK(dataset.label_colours.source.ends_with("class_dict.csv"));
    CHECK(truth(dataset) == Labels{1, 2, 0});
    CHECK(tree.open({.find_class_dict = false}).classes.empty());
  }
}

TEST_CASE("a class_dict.csv is left alone where labels are indices, and read where it is asked for") {
  const ColourTree tree;
  tree.labels("all/masks/a.png", {0, 1, 1});
  tree.file("all/class_dict.csv", "sky,0,0,0\nroad,128,64,128\n");
  CHECK(tree.open().classes.empty());
  const Dataset asked = tree.open({.label_palette = tree / "all/class_dict.csv"});
  CHECK(asked.classes == std::vector<std::string>{"sky", "road"});
  CHECK(truth(asked) == Labels{0, 1, 1});
  tree.labels("all/masks/a.png", {0, 2});
  CHECK(contains(sentence([&] { truth(asked); }), "the label 2 at pixel (1, 0) is none of pairs"));
}

TEST_CASE("colours without a dictionary are those that the caller knows") {
  const ColourTree tree;
  const Dataset dataset = tree.open();
  CHECK(contains(sentence([&] { truth(dataset); }), "no palette says which classes"));
  const LabelColours known{.palette = {black, purple, blue}};
  CHECK(read_truth(dataset, dataset.samples[0], known).map.labels == Labels{1, 2, 0});
  CHECK(contains(sentence([&] {
                   read_truth(dataset, dataset.samples[0], {.palette = {black, purple}});
                 }),
                 "a.png: the colour (0, 0, 142) at pixel (1, 0) is none of the 2"));
}

TEST_CASE("a broken class_dict.csv is refused by its path") {
  const ColourTree tree;
  tree.file("all/class_dict.csv", "name,r,g,b\nroad,1,2\n");
  CHECK(contains(sentence([&] { tree.open(); }), "class_dict.csv: line 2: expected name,r,g,b"));
}

TEST_CASE("colours of VOC are VOC's, with those of its void") {
  VocTree tree;
  tree.file("SegmentationClass/2007_a.png", colour_row({{192, 128, 128}, {224, 224, 192}, {0, 0, 0}}));
  CHECK(truth(open_dataset("voc", tree.root()), 1) == Labels{15, 255, 0});
  tree.file("colours.txt", "1 2 3\n");
  CHECK(contains(refusal("voc", tree, {.label_palette = tree / "colours.txt"}),
                 "expected 21 colours, one for each class of voc, found 1"));
}

TEST_CASE("label maps may be .npy, and a PNG of the same name comes first") {
  const ColourTree tree;
  const std::string head = "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 3), }\n";
  tree.file("all/masks/a.npy",
            std::string("\x93NUMPY\1\0", 8) + static_cast<char>(head.size()) + '\0' + head + "\1\2\377");
  CHECK(tree.open().samples[0].label.ends_with("a.png"));
  tree.remove("all/masks/a.png");
  CHECK(truth(tree.open()) == Labels{1, 2, 255});
}

}  // namespace atrous::dataset_test
