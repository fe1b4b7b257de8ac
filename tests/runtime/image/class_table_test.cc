// Names and colours of datasets' classes, against what the datasets publish.
#include "runtime/image/class_table.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "runtime/image/palette.h"

namespace atrous::class_table_test {

namespace {

std::string first_of(std::size_t classes, std::string_view file) {
  const auto table = likely_class_table(classes, file);
  return table ? table->classes.front() : "";
}

}  // namespace

TEST_CASE("every dataset has as many colours as names, and each name once") {
  for (const std::string_view name : class_table_names()) {
    CAPTURE(std::string(name));
    for (const std::size_t count : {11u, 19u, 21u, 59u, 60u, 150u, 171u, 182u}) {
      const auto table = class_table(name, count);
      REQUIRE(table);
      CHECK(table->palette.size() == table->classes.size());
      std::vector<std::string> names = table->classes;
      std::ranges::sort(names);
      std::erase(names, "N/A");  // ids that COCO's objects do not have
      CHECK(std::ranges::adjacent_find(names) == names.end());
    }
  }
  CHECK_FALSE(class_table("VOC", 21));
  CHECK_FALSE(class_table("", 21));
}

TEST_CASE("classes are where their datasets have them") {
  CHECK(class_table("voc", 21)->classes == voc_classes());
  CHECK(class_table("voc", 21)->palette == voc_palette(21));
  // labels.py: trainId 11 is person, (220, 20, 60).
  const ClassTable cityscapes = *class_table("cityscapes", 19);
  CHECK(cityscapes.classes[11] == "person");
  CHECK(cityscapes.palette[11] == Colour{220, 20, 60});
  // objectInfo150.txt: 1 wall, 13 person, 150 flag; color150.mat: (120, 120, 120), (150, 5, 61), (92, 0,
  // 255).
  const ClassTable ade = *class_table("ade20k", 150);
  CHECK(ade.classes.size() == 150);
  CHECK(ade.classes[12] == "person");
  CHECK(ade.palette[12] == Colour{150, 5, 61});
  CHECK(ade.classes[149] == "flag");
  CHECK(ade.palette[149] == Colour{92, 0, 255});
  // labels.txt: 1 person, 12 street sign, 92 banner, 182 wood. Without the absent, person, ..., stop sign.
  const ClassTable stuff = *class_table("coco-stuff", 182), present = *class_table("coco-stuff", 171);
  CHECK(stuff.classes.size() == 182);
  CHECK(stuff.classes[11] == "street sign");
  CHECK(stuff.classes[91] == "banner");
  CHECK(stuff.classes[181] == "wood");
  CHECK(present.classes.size() == 171);
  CHECK(present.classes[11] == "stop sign");
  CHECK(present.classes[79] == "toothbrush");  // the last of COCO's 80 things
  CHECK(present.classes[80] == "banner");
  // 59_labels.txt: 1 aeroplane, 21 bag, 59 wood.
  CHECK(class_table("pascal-context", 59)->classes[20] == "bag");
  CHECK(class_table("pascal-context", 60)->classes[0] == "background");
  CHECK(class_table("pascal-context", 60)->classes[59] == "wood");
  // PyTorch-Encoding's order, by the numbers among 459: 2 aeroplane, 9 bag, ..., 207 horse, ..., 397 table,
  // ...
  const std::vector<std::string> context = class_table("pcontext", 59)->classes;
  CHECK(context.size() == 59);
  CHECK(context[0] == "aeroplane");
  CHECK(context[1] == "bag");
  CHECK(context[5] == "bicycle");
  CHECK(context[30] == "horse");
  CHECK(context[49] == "table");
  CHECK(context[50] == "track");
  CHECK(context[58] == "wood");
  CHECK(class_table("pcontext", 60)->classes[0] == "background");
  CHECK(class_table("pcontext", 60)->classes[2] == "bag");
  CHECK(class_table("camvid", 11)->classes[0] == "sky");
}

TEST_CASE("a dataset is taken by a file's name before the number of classes, and only with its number") {
  CHECK(first_of(21, "") == "__background__");
  CHECK(first_of(19, "model.pth") == "road");
  CHECK(first_of(150, "") == "wall");
  CHECK(first_of(171, "") == "person");
  CHECK(first_of(182, "deeplabv2_resnet101_msc-cocostuff164k-100000.pth") == "person");
  CHECK(first_of(11, "model.pth") == "");
  CHECK(first_of(11, "my-CamVid.pth") == "sky");
  CHECK(first_of(59, "model.pth") == "");
  CHECK(first_of(59, "fcn_pascal_context.pth") == "aeroplane");
  CHECK(likely_class_table(59, "fcn_pascal_context.pth")->classes[1] == "bicycle");
  CHECK(likely_class_table(59, "encnet_resnet50s_pcontext-4de91d59.pth")->classes[1] == "bag");
  CHECK(first_of(21, "best_cityscapes.pth") == "__background__");
  CHECK(first_of(20, "voc.pth") == "");
  CHECK(first_of(0, "voc.pth") == "");
}

}  // namespace atrous::class_table_test
