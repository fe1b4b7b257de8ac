// Class names and colours given on the command line, in place of the model's.
#pragma once

#include <string>
#include <vector>

#include "runtime/segment/model.h"

namespace atrous::cli {

// classes: a file with one name a line, or empty for the model's own. palette: "voc", "hub", a file, or empty
// likewise. UsageError when a file has another number of entries than the model has classes.
void apply_names(Model&, const std::string& classes, const std::string& palette);

// A file with one class name a line.
std::vector<std::string> read_classes(const std::string& path);

// A class by name or index; UsageError naming those there are.
std::uint8_t class_by_name(const Model&, const std::string& name);

// A class's name as part of a file name: everything but letters, digits, - and _ becomes _.
std::string file_safe(const std::string& name);

}  // namespace atrous::cli
