// The README's four lines, built against an installed atrous: find_package, pkg-config, static and shared.
#include <atrous/atrous.h>
#include <atrous/evaluation.h>
#include <atrous/tensors.h>

#include <iostream>

int main() {
  const atrous::Model model = atrous::load_named_model("seeded:lraspp_mobilenet_v3_large", {},
                                                       [](const std::string& path) { return path; });
  atrous::Session session(model.program);
  const atrous::Segmentation s =
      atrous::segment(session, model, atrous::make_image(64, 48, 3), {.confidence = false});
  std::cout << model.architecture << ' ' << s.labels.width << 'x' << s.labels.height << '\n';
  return s.labels.width == 64 && s.labels.height == 48 ? 0 : 1;
}
