// COCO's instance annotations (annotations/instances_val2017.json) reduced to the classes of PASCAL VOC, as
// torchvision's published segmentation weights were measured. https://cocodataset.org/#format-data
//
// After torchvision's references/segmentation/coco_utils.py:
// - annotations of the 20 categories that VOC has too count, others do not; VOC's tvmonitor is COCO's tv, its
//   sofa the couch;
// - crowds (iscrowd) count like single instances;
// - a pixel of one instance has its class, one of several is void, whatever they are, all others are
//   background;
// - all pictures of the set count, those without annotations too. (For training, torchvision leaves out
//   pictures with too little in them; this does not.)
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/evaluation/coco_records.h"
#include "runtime/image/image.h"

namespace atrous {

struct CocoInstance {
  std::int64_t id = 0, image = 0;  // ids of the file's
  std::uint8_t cls = 0;            // VOC's, 1..20
  CocoMask mask;
};

struct CocoInstances {
  std::string path;
  std::vector<CocoImage> images;        // by id
  std::vector<CocoInstance> instances;  // by image
};

// Reads the file piece by piece: memory is taken for what is kept. Errors begin with the path: Error(limit)
// for a file over 4 GiB and pictures over 200 million pixels, Error(malformed) for what is not JSON or not
// such annotations, and for categories that have other names than COCO's.
CocoInstances read_coco_instances(const std::string& path);

// The truth of images[index] in VOC's classes, 255 void. Errors begin with the path and the image's file.
LabelMap draw_coco_truth(const CocoInstances&, std::size_t index);

}  // namespace atrous
