#include "cli/detection_options.h"

namespace atrous::cli {

const char* DetectionArguments::given() const {
  return score ? "--score" : iou ? "--iou" : most > 0 ? "--max-instances" : nullptr;
}

InstanceOptions DetectionArguments::options() const {
  InstanceOptions options;
  if (score && *score >= 1) throw UsageError{"--score: no instance is above 1"};
  if (score) options.score = static_cast<float>(*score);
  if (iou) options.threshold = static_cast<float>(*iou);
  if (most > 0) options.detections = most;
  return options;
}

void add_detection_options(Verb& verb, DetectionArguments& a, const std::string& group) {
  verb.add_option("--score", a.score,
                  "Of a model that finds instances, those whose score is above (default: the model's, 0.05)")
      .range(0, 1)
      .group(group);
  verb.add_option(
          "--iou", a.iou,
          "Of such a model, instances of a class that overlap a better one more are dropped (default: "
          "the model's, 0.5)")
      .range(0, 1)
      .group(group);
  verb.add_option("--max-instances", a.most,
                  "Of such a model, the best so many of a photo (default: the model's, 100)")
      .whole_number(1, 1000)
      .group(group);
}

}  // namespace atrous::cli
