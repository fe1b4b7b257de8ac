// Names of classes that nothing names, and those in the lists that datasets ship.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace atrous {

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
