// The README's four lines, built against an installed atrous: find_package, pkg-config, static and shared.
#include <atrous.h>

#include <iostream>

#include "weights_tools/seeded.h"

int main() {
  const atrous::Model model =
      atrous::make_model(atrous::seeded_state("fcn_resnet(1,1,1,1)", {.width = 8}), {});
  atrous::Session session(model.program);
  const atrous::Segmentation s =
      atrous::segment(session, model, atrous::make_image(64, 48, 3), {.confidence = false});
  std::cout << model.architecture << ' ' << s.labels.width << 'x' << s.labels.height << '\n';
  return s.labels.width == 64 && s.labels.height == 48 ? 0 : 1;
}
