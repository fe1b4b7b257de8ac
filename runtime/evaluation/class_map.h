// From a dataset's classes to a model's, where the two do not count alike.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "layers/base/public.h"
#include "runtime/image/image.h"

namespace ATROUS_PUBLIC atrous {

struct ClassMap {
  static constexpr int void_label = 255;
  std::array<std::uint8_t, 256> to{};  // from the dataset's class to the model's, or void_label
  std::array<bool, 256> known{};       // the labels that `to` has a meaning for; others are refused
  bool identity = true;                // every known label stays what it is
};

// What is asked for when nobody says how classes correspond. `dataset` and `model` are names by index; an
// empty one, and "class 7" for class 7, is no name. Names are equal when their letters and digits are, in
// lower case ("__background__" is "background", "traffic light" is "Traffic_Light").
// - The dataset has no classes (pairs of folders): its labels are the model's classes.
// - As many on both sides, and no name of one contradicts the other's at the same place: the same indices.
// - Every class of the dataset has a name that exactly one class of the model has: by name.
// - A class called void, ignore or unlabelled that the model does not have is void, and the two rules above
// are
//   for the others.
// Otherwise Error(mismatch) with both numbers and the first class that was not found. Void stays void.
// Error(limit) for a model with more than 255 classes: label 255 is void.
ClassMap default_class_map(const std::vector<std::string>& dataset, const std::vector<std::string>& model);

// A map from text, a line for each class of the dataset: "LABEL = CLASS", where LABEL is the dataset's class
// and CLASS the model's, each a number or a name, or "LABEL = ignore", which makes it void. A line that
// begins with "#" is a comment. "* = CLASS" and "* = ignore" stand for all labels that no other line names.
// Where `ignore`, the dataset's void label or no_label, is not 255, the label 255 can be given too.
// Error(malformed), with the file's name and line, for other lines, for names that no class or more than one
// has, numbers out of range, labels given twice and a class of the dataset that no line gives; Error(limit)
// for a model with more than 255 classes. For a dataset without classes any number of 0..254 is a label, and
// those not given are refused when they occur; so is 255.
ClassMap read_class_map(std::string_view text, std::string_view file, const std::vector<std::string>& dataset,
                        const std::vector<std::string>& model, int ignore = ClassMap::void_label);

// The same from a path, at most 1 MiB.
ClassMap read_class_map_file(const std::string& path, const std::vector<std::string>& dataset,
                             const std::vector<std::string>& model, int ignore = ClassMap::void_label);

// Whether a class is called void, ignore or unlabelled.
bool means_void(std::string_view name);

// The truth in the model's classes, void_label where the dataset's `ignore` was. Error(malformed), with
// `name`, the label and its pixel, for a label that is not known.
LabelMap apply(const ClassMap&, LabelMap truth, int ignore, std::string_view name);

}  // namespace atrous
