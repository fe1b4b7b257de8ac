// How a dataset's classes become a model's.
#include <doctest/doctest.h>

#include "runtime/evaluation/class_map.h"
#include "tests/support/image_helpers.h"
#include "tests/support/temporary.h"
#include "weights_tools/io/bytes.h"
#include "weights_tools/io/file.h"

namespace atrous::class_map_test {

using namespace atrous::testing;

namespace {

using Names = std::vector<std::string>;

const Names animals{"background", "cat", "dog"};

std::vector<int> targets(const ClassMap& map, std::size_t count) {
  std::vector<int> out;
  for (std::size_t i = 0; i < count; ++i) out.push_back(map.known[i] ? map.to[i] : -1);
  return out;
}

std::vector<int> read(std::string_view text, const Names& dataset = animals, const Names& model = animals) {
  return targets(read_class_map(text, "map.txt", dataset, model), 4);
}

std::string refusal(std::string_view text, const Names& dataset = animals, const Names& model = animals) {
  return sentence([&] { read_class_map(text, "map.txt", dataset, model); });
}

ErrorCode code_of(const Names& dataset, const Names& model) {
  try {
    default_class_map(dataset, model);
  } catch (const Error& error) {
    return error.code();
  }
  return ErrorCode::io;
}

}  // namespace

TEST_CASE("classes that agree by name keep their indices") {
  const ClassMap map =
      default_class_map({"__background__", "Cat", "potted plant"}, {"background", "cat", "PottedPlant"});
  CHECK(targets(map, 4) == std::vector{0, 1, 2, -1});
  CHECK(map.identity);
}

TEST_CASE("classes without names keep their indices when there are as many") {
  CHECK(default_class_map({"class 0", "class 1", "class 2"}, animals).identity);
  CHECK(default_class_map(animals, {"class 0", "", "class 2"}).identity);
  CHECK(targets(default_class_map({"class 0", "class 1", "class 2"}, animals), 3) == std::vector{0, 1, 2});
}

TEST_CASE("labels of folders are the model's classes") {
  const ClassMap map = default_class_map({}, animals);
  CHECK(targets(map, 4) == std::vector{0, 1, 2, -1});
}

TEST_CASE("the same names in another order, or fewer, are found by name") {
  const ClassMap map = default_class_map({"dog", "background", "cat"}, animals);
  CHECK(targets(map, 3) == std::vector{2, 0, 1});
  CHECK(!map.identity);
  CHECK(targets(default_class_map({"dog", "cat"}, animals), 3) == std::vector{2, 1, -1});
}

TEST_CASE("classes that do not correspond are refused with both numbers and the first one not found") {
  const Names four{"background", "dog", "horse", "cow"};
  CHECK(code_of(four, animals) == ErrorCode::mismatch);
  const std::string said = sentence([&] { default_class_map(four, animals); });
  CHECK(said ==
        "the dataset has 4 classes, the model 3, and class 2 of the dataset, horse, is not found by name in "
        "the model; a class map (--map) can say which is which");
  CHECK(code_of({"background", "cat", "cow"}, animals) == ErrorCode::mismatch);
  CHECK(code_of({"class 0", "class 1"}, animals) == ErrorCode::mismatch);
  CHECK(code_of({"dog", "class 1", "background"}, animals) == ErrorCode::mismatch);
}

TEST_CASE("a name that two classes have says nothing") {
  CHECK(code_of({"dog"}, {"dog", "dog", "cat"}) == ErrorCode::mismatch);
  CHECK(code_of({"dog", "dog"}, animals) == ErrorCode::mismatch);
}

TEST_CASE("a model of 256 classes leaves no label for void") {
  CHECK(code_of({}, Names(256, "x")) == ErrorCode::limit);
  CHECK(default_class_map({}, Names(255, "x")).known[254]);
  CHECK(code_of({}, {}) == ErrorCode::invalid_argument);
}

TEST_CASE("a map is read by name and by number") {
  CHECK(read("0 = background\n# cats are dogs\n\n cat=2\r\nDOG = ignore") == std::vector{0, 2, 255, -1});
  CHECK(read("* = ignore\n2 = Cat\n") == std::vector{255, 255, 1, -1});
  CHECK(read("* = 0\n") == std::vector{0, 0, 0, -1});
  CHECK(read("a=b = cat\n* = 0", {"a=b"}) == std::vector{1, -1, -1, -1});
}

TEST_CASE("labels of folders are mapped by number alone, and those not given stay unknown") {
  CHECK(read("3 = cat\n1 = 0", {}) == std::vector{-1, 0, -1, 1});
  CHECK(read("3 = cat\n* = ignore", {}) == std::vector{255, 255, 255, 1});
}

TEST_CASE("a map gives the label 255 where another label is void, or none") {
  for (const int ignore : {-1, 0}) {
    const ClassMap map = read_class_map("0 = 0\n255 = cat\n", "map.txt", {}, animals, ignore);
    CHECK(map.known[255]);
    CHECK(int{map.to[255]} == 1);
    CHECK(!read_class_map("0 = 0\n", "map.txt", {}, animals, ignore).known[255]);
    CHECK(int{read_class_map("0 = 0\n* = dog\n", "map.txt", {}, animals, ignore).to[255]} == 2);
    // Void of a dataset with names.
    CHECK(int{read_class_map("* = 0\n255 = cat\n", "map.txt", animals, animals, ignore).to[255]} == 1);
    CHECK(!read_class_map("* = 0\n", "map.txt", animals, animals, ignore).known[255]);
  }
  CHECK(refusal("255 = cat", {}) ==
        "map.txt: line 1: the label 255 is void; --ignore none, or another label, gives it");
  CHECK(!read_class_map("* = 0\n", "map.txt", {}, animals).known[255]);
  CHECK(sentence([] { read_class_map("255 = 0\n255 = 1\n", "map.txt", {}, animals, -1); }) ==
        "map.txt: line 2: class 255 of the dataset is given twice");
}

TEST_CASE("a class that means void is void where the model has none of this name") {
  // In the order of the others where nothing else names them, and by name.
  CHECK(targets(default_class_map({"Void", "background", "cat", "dog"}, {"class 0", "class 1", "class 2"}),
                4) == std::vector{255, 0, 1, 2});
  CHECK(targets(default_class_map({"background", "unlabelled", "cat", "dog"}, animals), 4) ==
        std::vector{0, 255, 1, 2});
  CHECK(targets(default_class_map({"dog", "void", "cat"}, animals), 3) == std::vector{2, 255, 1});
  CHECK(targets(default_class_map({"dog", "cat", "background", "ignore"}, animals), 4) ==
        std::vector{2, 1, 0, 255});
  CHECK(targets(default_class_map({"void", "cat"}, {"cat", "void"}), 2) == std::vector{1, 0});
  CHECK(code_of({"void", "horse"}, animals) == ErrorCode::mismatch);
}

TEST_CASE("what is no map is refused with its line") {
  CHECK(refusal("0 = 0\ncat 1") == "map.txt: line 2: expected LABEL = CLASS, found cat 1");
  CHECK(refusal("cow = 1") == "map.txt: line 1: the dataset has no class cow");
  CHECK(refusal("cat = 3") == "map.txt: line 1: the model has no class 3, it has 3");
  CHECK(refusal("cat = -1") == "map.txt: line 1: the model has no class -1, it has 3");
  CHECK(refusal("cat = 99999999999999") == "map.txt: line 1: the model has no class 99999999999999");
  CHECK(refusal("cat = \x1b[2J") == "map.txt: line 1: the model has no class \\x1b[2J");
  CHECK(refusal("cat =") == "map.txt: line 1: the model has no class ");
  CHECK(refusal("cat = 1\n1 = 1") == "map.txt: line 2: class 1 of the dataset is given twice");
  CHECK(refusal("* = 1\n* = 1") == "map.txt: line 2: * is given twice");
  CHECK(refusal("cat = 1", animals, {"cat", "dog", "dog"}).empty() == false);
  CHECK(refusal("0 = dog", animals, {"cat", "dog", "dog"}) ==
        "map.txt: line 1: the model has several classes dog");
  CHECK(refusal("background = 0\ncat = 1") ==
        "map.txt: class 2 of the dataset, dog, is not given; \"* = ignore\" makes all others void");
  CHECK(!refusal("").empty());
}

TEST_CASE("a map file is named by its path") {
  const TemporaryFolder folder;
  const std::string path = folder / "map.txt";
  write_file(path, as_bytes("background = 0\ncat = 2\ndog = 1\n"));
  CHECK(targets(read_class_map_file(path, animals, animals), 3) == std::vector{0, 2, 1});
  CHECK(sentence([&] {
          read_class_map_file(folder / "none.txt", animals, animals);
        }).starts_with(folder / "none"));
  CHECK(sentence([&] { read_class_map_file(path, {}, animals); }) ==
        path + ": line 1: the dataset has no class background");
}

TEST_CASE("a truth is mapped pixel by pixel, and void stays void") {
  const ClassMap map = read_class_map("background = 0\ncat = 2\ndog = ignore\n", "map.txt", animals, animals);
  const LabelMap truth{3, 2, {0, 1, 2, 255, 0, 1}};
  CHECK(apply(map, truth, 255, "a.png").labels == std::vector<std::uint8_t>{0, 2, 255, 255, 0, 2});
  // A dataset may call another label void.
  CHECK(apply(map, LabelMap{2, 1, {0, 1}}, 0, "a.png").labels == std::vector<std::uint8_t>{255, 2});
}

TEST_CASE("a label that the map does not know is refused with its pixel") {
  const ClassMap map = default_class_map({}, animals);
  CHECK(sentence([&] {
          apply(map, LabelMap{2, 2, {0, 1, 2, 7}}, 255, "a.png");
        }) == "a.png: the label 7 at pixel (1, 1) is no class of the model's");
  CHECK(sentence([&] {
          apply(map, LabelMap{2, 1, {0, 255}}, -1, "a.png");
        }) == "a.png: the label 255 at pixel (1, 0) is no class of the model's");
}

}  // namespace atrous::class_map_test
