// atrous eval --dataset coco: detections in a file of results, measured by COCO's protocol.
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
#pragma once

#include <string>

namespace atrous::cli {

struct DetectionsRequest {
  std::string root;  // annotations/instances_SET.json below it, or the file itself
  std::string set;   // empty: val2017
  std::string results;
  std::string json, csv;  // files, "-", or empty
  bool table = true;
};

// Error(io) where the annotations are not there, and the errors of reading and measuring.
int eval_detections(const DetectionsRequest&);

}  // namespace atrous::cli
