// Colours and names of classes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "layers/base/public.h"
#include "weights_tools/metadata.h"

namespace ATROUS_PUBLIC atrous {

// PASCAL VOC's colour map: the class index's bits, three at a time from the lowest, go to red, green and
// blue, the first three to the highest bit of each. 0 is black, 1 (128, 0, 0), 15 (192, 128, 128), 20 (0, 64,
// 128), 255 (224, 224, 192). http://host.robots.ox.ac.uk/pascal/VOC/voc2012/ (VOClabelcolormap.m of the
// development kit)
Palette voc_palette(int classes);
constexpr Colour voc_void_colour{224, 224, 192};

// torch.hub's example: class * (2^25 - 1, 2^15 - 1, 2^21 - 1) mod 255.
// https://pytorch.org/hub/pytorch_vision_deeplabv3_resnet101/
Palette hub_palette(int classes);

// A palette from text, one colour a line in order of class: "R G B" with numbers 0..255, or "#rrggbb";
// whatever follows on the line, such as the class's name, is ignored. Empty lines are skipped, and so are
// comments: lines that begin with "# " or are just "#". Error(malformed) with the name and line for anything
// else; Error(limit) for more than 256 colours; Error(malformed) for none.
Palette read_palette(std::string_view text, std::string_view name);

// The 21 classes of PASCAL VOC, __background__ first, as torchvision's segmentation weights list them.
std::vector<std::string> voc_classes();

}  // namespace atrous
