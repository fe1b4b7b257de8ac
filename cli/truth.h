// A photo's own truth, compared with what was segmented: `atrous segment --truth`.
#pragma once

#include <string>
#include <vector>

#include "cli/cli.h"
#include "runtime/image/image.h"
#include "runtime/segment/model.h"

namespace atrous::cli {

struct TruthOptions {
  std::string file;
  std::string ignore;         // a label, "none", or empty: 255, but see below
  std::string label_palette;  // a file, "none", or empty: a class_dict.csv is looked for
};

// "none" is no_label. UsageError, naming --ignore, for what is no label of 0..255.
int parse_ignore(const std::string&);

// --label-palette; the minimal program has none.
void add_label_palette_option(Verb&, std::string&, const std::string& group);

struct Truth {
  LabelMap labels;  // in the model's classes
  int ignore = 255;
  std::vector<std::string> notes;  // how the labels were read, where otherwise than as indices
};

// Colours are looked up in the label palette, which also maps its classes to the model's
// (runtime/evaluation/class_map.h), otherwise in the model's palette. Where the model has two classes, no
// label is asked to be ignored, and the file has the labels 0 and 255 alone, 255 is class 1. Errors of
// read_labels_file(), read_label_palette() and default_class_map().
Truth read_truth(const TruthOptions&, const Model&);

}  // namespace atrous::cli
