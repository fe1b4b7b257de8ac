#include <atrous/atrous.h>

int main() {
  const atrous::Model model = atrous::load_default_model();  // or load_model("net.pth")
  atrous::Session session(model.program);
  const atrous::Image photo = atrous::read_image_file("street.png");
  const atrous::Segmentation s = atrous::segment(session, model, photo);
  atrous::write_file("labels.png", atrous::encode_png(s.labels, model.palette));
}
