// The instances of a photo in what programs read: `atrous segment --json` and atrous-serve write the same.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "runtime/instances/detector.h"
#include "weights_tools/io/json.h"

namespace atrous {

// Records of COCO's results format, with the class's name and the file's beside each; masks, where the model
// has some, as compressed run lengths (coco_mask.h).
std::vector<JsonText> instances_json(const Instances&, const Model&, std::string_view file,
                                     std::int64_t image_id);

}  // namespace atrous
