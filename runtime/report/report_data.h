// What the report's page is told: the evaluation as JSON, and where the pictures of an image lie.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/evaluation/evaluation.h"

namespace atrous {

struct JsonText;

// A file name that any file system takes, of its own for each image name: names of a-z, 0-9, '_', '.' and '-'
// stay readable as they are; all others (capitals too, for file systems that do not tell them apart) have
// what is foreign replaced and end in 12 digits of the name's SHA-256.
std::string picture_stem(std::string_view image_name);

// Of one image, relative to the report; `photo` is empty where there are none.
struct ReportPictures {
  std::string photo, truth, prediction, errors;
  int width = 0, height = 0;  // of the truth's; less than the image's where pictures are reduced
};

// The JSON of runtime/report/page/page.js; pictures as many as evaluation.images. ASCII. Ratios that do not
// exist are null.
JsonText report_data(const Evaluation&, const std::vector<ReportPictures>& pictures);

// At most `most` of a curve's points (at least 2), evenly spaced along its length, with both ends.
std::vector<CurvePoint> thin_out(const std::vector<CurvePoint>&, std::size_t most);

}  // namespace atrous
