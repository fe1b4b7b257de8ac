// atrous segment --format jpg: what is written as JPEG, and what never is.
#include "runtime/image/jpeg.h"
#include "runtime/drawing/lettering.h"
#include "runtime/drawing/pictures.h"
#include "runtime/image/image_read.h"
#include "runtime/image/label_read.h"
#include "tests/support/cli_testing.h"

namespace atrous::jpeg_test {

using namespace atrous::cli_testing;

namespace {

std::string jpeg(const Image& image, int quality = 90) { return text_of(encode_jpeg(image, quality)); }

}  // namespace

TEST_CASE_FIXTURE(Bench, "--format jpg writes overlay, sheet and cut-out as JPEG, masks and labels as PNG") {
  const std::string said = succeed(segment({dog, "--format", "jpg", "--labels", "--confidence", "--sheet",
                                            "--cutout", "class 2", "--cutout-on", "#ff8000"}));
  CHECK(names() == Names{"dog.confidence.png", "dog.cutout-class_2.jpg", "dog.labels.png", "dog.mask.png",
                         "dog.overlay.jpg", "dog.png", "dog.sheet.jpg", "net.safetensors"});
  const Segmentation s = expected();
  CHECK(read_text(folder / "dog.overlay.jpg") == jpeg(overlay(dog_photo, s.labels, model.palette)));
  CHECK(read_text(folder / "dog.cutout-class_2.jpg") == jpeg(cutout(dog_photo, s.labels, 2, {255, 128, 0})));
  CHECK(read_text(folder / "dog.mask.png") == text_of(encode_png(colourise(s.labels, model.palette))));
  CHECK(read_labels_file(folder / "dog.labels.png") == s.labels);
  CHECK(read_image_file(folder / "dog.sheet.jpg").width > 3 * 48);
  for (const char* file : {"dog.overlay.jpg", "dog.sheet.jpg", "dog.cutout-class_2.jpg", "dog.mask.png"})
    CHECK(mentions(said, str_cat("wrote ", folder.path(), "/", file)));
  // A later run over the folder does not take them for photos.
  succeed({"segment", "-m", checkpoint, "--threads", "1", "--no-resize", folder.path(), "-q", "-o",
           folder / "out"});
  CHECK(names_in(folder / "out") == Names{"dog.mask.png", "dog.overlay.png"});
}

TEST_CASE_FIXTURE(Bench, "--quality is the JPEG's, and -o - sends one") {
  const Image tinted = overlay(dog_photo, expected().labels, model.palette);
  const auto sent = [&](const Arguments& more) {
    return succeed(segment(Arguments{dog, "-o", "-", "--overlay", "--format", "jpg"} + more));
  };
  CHECK(sent({}) == jpeg(tinted, 90));
  CHECK(sent({"--quality", "1"}) == jpeg(tinted, 1));
  CHECK(sent({"--quality=100"}) == jpeg(tinted, 100));
  CHECK(names() == Names{"dog.png", "net.safetensors"});
  for (const char* nonsense : {"0", "101", "-5", "90%", "high", ""})
    refuse(2, segment({dog, "--format", "jpg", str_cat("--quality=", nonsense)}), {"--quality"});
}

TEST_CASE_FIXTURE(Bench, "a JPEG of what JPEG cannot hold is a usage error") {
  refuse(2, segment({dog, "--format", "jpg", "--cutout", "2"}), {"no transparency", "--cutout-on"});
  refuse(2, segment({dog, "--format", "jpg", "--no-overlay"}), {"--format jpg", "always PNG"});
  refuse(2, segment({dog, "--format", "jpg", "-o", "-"}), {"--format jpg", "always PNG"});
  refuse(2, segment({dog, "--format", "jpg", "-o", "-", "--labels"}), {"--format jpg", "always PNG"});
  refuse(2, segment({dog, "--quality", "50"}), {"--quality", "--format jpg"});
  refuse(2, segment({dog, "--format", "png", "--quality", "50"}), {"--quality", "--format jpg"});
  refuse(2, segment({dog, "--format", "gif"}), {"--format", "gif"});
  CHECK(names() == Names{"dog.png", "net.safetensors"});
}

TEST_CASE_FIXTURE(Bench, "--cutout-on puts the cut-out on a colour, as PNG too") {
  const std::string on_colour = text_of(encode_png(cutout(dog_photo, expected().labels, 2, {0, 128, 255})));
  const auto sent = [&](const char* colour) {
    return succeed(segment({dog, "-o", "-", "--cutout", "2", "--cutout-on", colour}));
  };
  CHECK(sent("#0080ff") == on_colour);
  CHECK(sent("0 128 255") == on_colour);
  for (const char* nonsense : {"blue", "#0080f", "1 2", "0 0 256", "#\x1b[31m"})
    refuse(2, segment({dog, "--cutout", "2", str_cat("--cutout-on=", nonsense)}), {"--cutout-on", "#rrggbb"});
  refuse(2, segment({dog, "--cutout-on", "#000000"}), {"--cutout-on", "--cutout"});
  CHECK(names() == Names{"dog.png", "net.safetensors"});
}

}  // namespace atrous::jpeg_test
