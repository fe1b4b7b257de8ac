// atrous crf PHOTO LOGITS.npy
#include <algorithm>
#include <array>
#include <memory>

#include "cli/cli.h"
#include "cli/crf_options.h"
#include "cli/inputs.h"
#include "cli/names.h"
#include "layers/base/error.h"
#include "layers/base/visible_text.h"
#include "runtime/drawing/pictures.h"
#include "runtime/image/image_read.h"
#include "runtime/image/npy.h"
#include "runtime/image/png.h"
#include "runtime/segment/dense_crf.h"
#include "runtime/segment/segmenter.h"

namespace atrous::cli {

namespace {

struct SharpenArguments {
  std::string photo, map, output, mask, overlay, labels, palette = "voc";
  bool probabilities = false, no_exif = false;
  CrfArguments crf;
  int threads = 0;
  std::string memory_limit;
};

int run(const SharpenArguments& o) {
  if (o.output.empty() && o.mask.empty() && o.overlay.empty() && o.labels.empty())
    throw UsageError{"nothing is asked for: give -o, --mask, --overlay or --labels"};
  if (std::ranges::count(std::array{o.output, o.mask, o.overlay, o.labels}, "-") > 1)
    throw UsageError{"-o, --mask, --overlay and --labels: one of them can go to standard output"};
  CrfOptions how{.parameters = *o.crf.parameters(), .logits = !o.probabilities, .threads = o.threads};
  const Image photo = read_image(read_input(o.photo), o.photo, {.exif = !o.no_exif});
  Tensor q = read_npy(read_input(o.map), o.map, 0);
  if (q.shape().c > 255)
    fail(ErrorCode::limit, visible(o.map), ": has ", q.shape().c, " classes, more than 255");
  const Palette colours = palette_by_name(o.palette, static_cast<std::size_t>(q.shape().c));
  how.memory_limit = o.memory_limit.empty() ? physical_memory() : parse_bytes(o.memory_limit);
  naming(o.map, [&] { dense_crf(photo, q.view(), how); });
  if (!o.output.empty()) write_to(o.output, encode_npy(q.view(), NpyRank::image));
  if (o.mask.empty() && o.overlay.empty() && o.labels.empty()) return 0;
  LabelMap labels{photo.width, photo.height,
                  std::vector<std::uint8_t>(static_cast<std::size_t>(q.shape().pixels()))};
  labels_of(q.view(), std::nullopt, labels.labels, {});
  if (!o.labels.empty()) write_to(o.labels, encode_png(Image{labels.width, labels.height, 1, labels.labels}));
  if (!o.mask.empty()) write_to(o.mask, encode_png(colourise(labels, colours)));
  if (!o.overlay.empty()) write_to(o.overlay, encode_png(overlay(photo, labels, colours, {.background = 0})));
  return 0;
}

}  // namespace

Action add_crf(Verb& verb) {
  auto o = std::make_shared<SharpenArguments>();
  verb.add_option("photo", o->photo, "The picture").type_name("PHOTO").required();
  verb.add_option("map", o->map, "Its logits by whatever network, .npy of C x H x W at the picture's size")
      .type_name("FILE")
      .required();
  verb.add_flag("--probabilities", o->probabilities, "They are probabilities, not logits");
  const auto out = "What is written";
  verb.add_option("-o,--output", o->output, "The sharpened probabilities, C x H x W, .npy or -")
      .type_name("FILE")
      .group(out);
  verb.add_option("--mask", o->mask, "The classes' colours, .png or -").type_name("FILE").group(out);
  verb.add_option("--overlay", o->overlay, "The colours over the picture, .png or -")
      .type_name("FILE")
      .group(out);
  verb.add_option("--labels", o->labels, "Class indices, .png or -").type_name("FILE").group(out);
  verb.add_option("--palette", o->palette, "Colours: voc, hub, or a file with one colour a line")
      .type_name("FILE")
      .show_default()
      .group(out);
  o->crf.use = CrfArguments::Use::always;
  add_crf_options(verb, o->crf, "The CRF");
  verb.add_flag("--no-exif", o->no_exif, "Ignore the EXIF orientation");
  verb.add_option("--threads", o->threads, "Threads; 0 for all, or OMP_NUM_THREADS").whole_number(0, 1024);
  verb.add_option("--memory-limit", o->memory_limit, "Most memory, such as 500MB").type_name("BYTES");
  verb.footer(
      "Examples:\n"
      "  atrous crf street.jpg logits.npy -o sharp.npy --overlay sharp.png\n"
      "  atrous crf street.jpg softmax.npy --probabilities --mask - > mask.png");
  return [o] { return run(*o); };
}

}  // namespace atrous::cli
