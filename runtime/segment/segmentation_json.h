// A segmented photo in what programs read: `atrous segment --json` and atrous-serve write the same.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "runtime/image/class_share.h"
#include "runtime/segment/model.h"
#include "runtime/segment/segmenter.h"
#include "weights_tools/io/json.h"

namespace atrous {

// index, name, pixels, share, confidence.
JsonText class_share_json(const ClassShare&, const Model&);

// file, width, height, input_width, input_height, device, precision, classes, seconds by step, written.
// `classes` are the entries of that list, one of class_share_json() or more; `written` names files.
JsonText segmentation_json(std::string_view file, const Model&, const Segmentation&,
                           std::span<const JsonText> classes, std::span<const std::string> written);

}  // namespace atrous
