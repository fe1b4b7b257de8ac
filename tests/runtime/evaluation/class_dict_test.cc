// class_dict.csv and palettes of label maps.
#include "runtime/evaluation/class_dict.h"

#include <doctest/doctest.h>

#include "tests/support/image_helpers.h"
#include "tests/support/temporary.h"
#include "weights_tools/io/bytes.h"
#include "weights_tools/io/file.h"

namespace atrous::class_dict_test {

using namespace atrous::testing;

namespace {

using Names = std::vector<std::string>;

const Names road_and_car{"road", "car"};
const Palette grey_and_blue{{128, 64, 128}, {0, 0, 142}};

void check_same(const ClassDict& dict) {
  CHECK(dict.classes == road_and_car);
  CHECK(dict.palette == grey_and_blue);
}

std::string refusal(std::string_view text) {
  return sentence([&] { read_class_dict(text, "class_dict.csv"); });
}

}  // namespace

TEST_CASE("a class dictionary has a name and a colour a line, with a header or without") {
  check_same(read_class_dict("name,r,g,b\nroad,128,64,128\ncar,0,0,142\n", "x"));
  check_same(read_class_dict("road,128,64,128\ncar,0,0,142", "x"));
  check_same(read_class_dict("Name, R, G, B\r\n\r\n road , 128, 64 ,128\r\ncar,0,0,142\r\n", "x"));
  check_same(read_class_dict("label;red;green;blue\nroad;128;64;128\ncar;0;0;142\n", "x"));
  check_same(read_class_dict("name\tr\tg\tb\nroad\t128\t64\t128\ncar\t0\t0\t142\n", "x"));
  check_same(read_class_dict("\"name\",\"r\",\"g\",\"b\"\n\"road\",128,64,128\n\"car\",\"0\",0,142\n", "x"));
}

TEST_CASE("a header says which column is which") {
  check_same(read_class_dict("id,r,g,b,name\n0,128,64,128,road\n1,0,0,142,car\n", "x"));
  check_same(read_class_dict(",class,r,g,b,note\n0,road,128,64,128,\n1,car,0,0,142,blue\n", "x"));
}

TEST_CASE("a quoted name may hold the separator") {
  CHECK(read_class_dict("\"car, parked\",1,2,3", "x").classes == Names{"car, parked"});
}

TEST_CASE("what is no class dictionary is refused with its line") {
  CHECK(refusal("") == "class_dict.csv: no classes");
  CHECK(refusal("name,r,g,b\n") == "class_dict.csv: no classes");
  CHECK(refusal("road,1,2") == "class_dict.csv: line 1: expected name,r,g,b, found road,1,2");
  CHECK(refusal("road,1,2,3\ncar,1,2,256") ==
        "class_dict.csv: line 2: expected name,r,g,b with numbers 0..255, found car,1,2,256");
  CHECK(contains(refusal("road,1,2,-3"), "line 1: expected name,r,g,b with numbers"));
  CHECK(contains(refusal("road,1,2,3.5"), "line 1: expected name,r,g,b with numbers"));
  CHECK(contains(refusal("road,1,2,3x"), "line 1: expected name,r,g,b with numbers"));
  CHECK(contains(refusal("road,1,2,"), "line 1: expected name,r,g,b with numbers"));
  CHECK(contains(refusal("name,r,g,b\nname,r,g,b"), "line 2: expected name,r,g,b with numbers"));
  CHECK(refusal(",1,2,3") == "class_dict.csv: line 1:  is no class's name");
  CHECK(refusal("ro\x1b[2Jad,1,2,3") == "class_dict.csv: line 1: ro\\x1b[2Jad is no class's name");
  CHECK(contains(refusal(std::string(257, 'x') + ",1,2,3"), "is no class's name"));
  CHECK(refusal("road,1,2,3\nroad,4,5,6") == "class_dict.csv: line 2: the class road is given twice");
  CHECK(refusal("road,1,2,3\ncar,1,2,3") == "class_dict.csv: line 2: the colour of car is that of road");
  std::string many;
  for (int i = 0; i < 256; ++i) many += str_cat("c", i, ",0,1,", i, "\n");
  CHECK(refusal(many) == "class_dict.csv: more than 255 classes");
}

TEST_CASE("the colours of labels come from a dictionary or from a palette file") {
  const TemporaryFolder folder;
  const auto read = [&](const std::string& content) {
    write_file(folder / "colours", as_bytes(content));
    return read_label_palette(folder / "colours");
  };
  check_same(read("road,128,64,128\ncar,0,0,142\n"));
  const ClassDict palette = read("# drawn by hand\n128 64 128 road\n#00008e\n");
  CHECK(palette.palette == grey_and_blue);
  CHECK(palette.classes == Names{"class 0", "class 1"});
  CHECK(sentence([&] { read("1 2 3\n4 5 6\n#010203\n"); }) ==
        folder / "colours" + ": colours 0 and 2 are the same");
  CHECK(contains(sentence([&] { read("nothing\n"); }), "line 1: expected"));
  CHECK(sentence([&] { read_label_palette(folder / "none"); }).starts_with(folder / "none"));
}

}  // namespace atrous::class_dict_test
