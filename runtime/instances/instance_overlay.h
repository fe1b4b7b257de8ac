// Instances on their photo.
#pragma once

#include "layers/base/public.h"
#include "runtime/drawing/pictures.h"
#include "runtime/instances/detector.h"

namespace ATROUS_PUBLIC atrous {

// Each instance tinted and outlined in a colour of its own, with its box, class and score. The style's
// background does not matter. Errors as overlay() and draw_boxes() (runtime/drawing).
Image instance_overlay(const Image& photo, const Instances&, const Model&, const OverlayOptions& = {});

}  // namespace atrous
