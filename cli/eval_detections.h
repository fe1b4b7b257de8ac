// atrous eval --dataset coco: detections, in a file of results or a model's own, measured by COCO's protocol.
//
// JSON, with every number to the last digit and -1, as pycocotools has it, where no truth counts:
//
//   predictions, dataset                 strings: the two files
//   images, truths, crowds, detections   how many; truths without crowds
//   notes                                [sentence]
//   bbox                                 {summary: {ap, ap50, ap75, ap_small, ap_medium, ap_large, ar1, ar10,
//                                        ar100, ar_small, ar_medium, ar_large},
//                                        categories: [{id, name, truths, detections, ap, ap50, ap75, ar100}]}
//   segm                                 the same of masks; null where the results have none
//
// and of a model, in the place of predictions:
//
//   model, architecture                  strings
//   seconds                              of the whole run
//   failed                               [{name, error}]: images that are left out, with their truths
#pragma once

#include <optional>
#include <string>

#include "runtime/evaluation/coco_detect.h"
#include "runtime/report/detection_report.h"

namespace atrous::cli {

struct DetectionsRequest {
  std::string root;                  // annotations/instances_SET.json below it, or the file itself
  std::string set;                   // empty: val2017
  std::string results;               // a file, to read or, of a model, to write
  std::string json, csv, report;     // files, "-", or empty; a folder or empty
  std::string photos;                // a folder; empty: the place that open_coco_set() finds
  bool exif = true, strict = false;  // of the report's photos
  bool table = true;
};

// The report's photos are those of request.photos, which must all be there, or where they would be of a
// model, if they all are. Error(io) where the annotations are not there, and the errors of reading and
// measuring.
int eval_detections(const DetectionsRequest&);

// What a model is measured on: the annotations and the folder of their photos.
struct CocoSet {
  CocoAnnotations truth;
  std::string photos;
  std::size_t listed = 0;  // images in the file
  bool has_masks = true;   // whether all annotations have a mask
};
// Photos are in request.photos or, if that is empty, in SET or images/SET beside the folder of
// annotations/instances_SET.json, or else in the folder that the file is in. Of the images the first `limit`
// by id; 0: all. Errors as eval_detections(), of truths that cannot be measured too, before a model has run
// for hours.
CocoSet open_coco_set(const DetectionsRequest&, std::size_t limit);

// Writes the results and measures them. `request.results` is the file they go to, empty: none; `report` may
// be null. Images that are neither found nor failed are said to be missing.
void write_detections(const DetectionsRequest&, const DetectionRun&, CocoSet, DetectedCoco,
                      DetectionReport* report);

}  // namespace atrous::cli
