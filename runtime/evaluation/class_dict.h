// The classes of colour-coded label maps, as the datasets that people pass around state them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "weights_tools/metadata.h"

namespace atrous {

struct ClassDict {
  std::vector<std::string> classes;
  Palette palette;  // as many, each colour once
};

// class_dict.csv: a line for each class in their order, "name,r,g,b" with numbers 0..255; commas, semicolons
// or tabs part the fields, and double quotes may stand around one. A first line without numbers is a header,
// and where it names the columns (name, class or label; r or red; g or green; b or blue, in any case), their
// order. Error(malformed) with the file's name and line for anything else, for a name that is empty, over 256
// bytes or not clean text, for a name or colour given twice, and for a file without classes; Error(limit) for
// more than 255 classes.
ClassDict read_class_dict(std::string_view text, std::string_view file);

// The colours of labels from a file, at most 1 MiB: a class_dict.csv where the first line that is no comment
// has a comma or semicolon, otherwise a palette, which names no classes (runtime/image/palette.h), "class 0"
// and so on. Error(malformed) for a colour given twice.
ClassDict read_label_palette(const std::string& path);

// The class_dict.csv in a file's folder or in the folder around that, of the first file that has one;
// otherwise empty.
std::string find_class_dict(const std::vector<std::string>& files);

}  // namespace atrous
