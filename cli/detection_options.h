// --score, --iou, --max-instances: which instances of a model's count, in every verb that finds some.
#pragma once

#include <optional>
#include <string>

#include "cli/cli.h"
#include "runtime/instances/detector.h"

namespace atrous::cli {

struct DetectionArguments {
  std::optional<double> score = {}, iou = {};
  int most = 0;  // 0: the model's own

  // The first of them that is given; null where none is.
  const char* given() const;
  InstanceOptions options() const;  // UsageError for a score that no instance is above
};

void add_detection_options(Verb&, DetectionArguments&, const std::string& group);

}  // namespace atrous::cli
