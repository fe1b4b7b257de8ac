// Class names and colours given on the command line, in place of the model's.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/image/class_table.h"
#include "runtime/segment/model.h"

namespace atrous::cli {

// classes: a file with one name a line, the name of a dataset, whose colours are taken too, or empty for the
// model's own. palette: "voc", "hub", a file, or empty likewise. UsageError when it has another number of
// entries than the model has classes.
void apply_names(Model&, const std::string& classes, const std::string& palette);

// "voc", "hub" or a file of so many colours. Errors as apply_names().
Palette palette_by_name(const std::string& name, std::size_t classes);

// A file with one class name a line; where there is none of that name, a dataset's classes
// (runtime/image/class_table.h) with their colours. `count`: how many are wanted of a dataset that has
// several kinds of classes.
ClassTable read_classes(const std::string& name, std::size_t count);

constexpr std::string_view classes_help =
    "Class names: a file with one name a line, or voc, cityscapes, ade20k, coco, coco-stuff, "
    "pascal-context, pcontext, camvid (with its colours)";

// A class by name or index; UsageError naming those there are.
std::uint8_t class_by_name(const Model&, const std::string& name);

// A class's name as part of a file name: everything but letters, digits, - and _ becomes _.
std::string file_safe(const std::string& name);

}  // namespace atrous::cli
