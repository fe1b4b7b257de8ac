// Datasets of photos and label maps, in the layouts they are published in.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/image.h"
#include "weights_tools/metadata.h"

namespace atrous {

struct DatasetSample {
  std::string name;   // "2007_000032": unique within the dataset
  std::string photo;  // path
  std::string label;  // path of its label PNG, or what `truth` makes of it
};

struct Dataset {
  std::string kind;                      // "voc"
  std::vector<DatasetSample> samples;    // sorted by name, or in the order of the set's list
  std::vector<std::string> classes;      // by index; empty where the dataset says nothing of them (pairs)
  Palette palette;                       // as many as classes, or empty
  int ignore = 255;                      // the void label in what truth() gives, or no_label
  std::array<std::uint8_t, 256> lookup;  // from a raw label to a class, or `ignore`

  // The truth of one sample, in the dataset's classes and void label, at the photo's own size. Errors begin
  // with the file's path.
  std::function<LabelMap(const DatasetSample&)> truth;
};

struct DatasetOptions {
  std::string set;     // ImageSets' or the folder's name, "val" by default
  std::string labels;  // the second path of `pairs`
};

// kind: one of dataset_kinds(). Error(invalid_argument) for others; Error(io) and Error(malformed), naming
// what was looked for and where, for a folder that does not have the layout, for a photo without a label map
// and for an empty dataset.
Dataset open_dataset(std::string_view kind, const std::string& root, const DatasetOptions& = {});

struct DatasetKind {
  std::string_view name,
      layout;  // "voc", "JPEGImages/*.jpg, SegmentationClass/*.png, ImageSets/Segmentation/SET.txt"
};
std::span<const DatasetKind> dataset_kinds();

}  // namespace atrous
