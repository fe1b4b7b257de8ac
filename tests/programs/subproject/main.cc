// A program whose project builds atrous within its own.
#include <atrous/atrous.h>

#include <iostream>

int main() {
  const atrous::Model model = atrous::load_default_model();
  atrous::Session session(model.program);
  const atrous::Segmentation s = atrous::segment(session, model, atrous::make_image(64, 48, 3));
  std::cout << model.architecture << ' ' << s.labels.width << 'x' << s.labels.height << '\n';
  return s.labels.width == 64 && s.labels.height == 48 ? 0 : 1;
}
