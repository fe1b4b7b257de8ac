// atrous convert IN OUT.safetensors
#include <sstream>

#include "cli/cli.h"
#include "cli/convert_int8.h"
#include "cli/crf_options.h"
#include "cli/model_argument.h"
#include "cli/names.h"
#include "layers/base/error.h"
#include "layers/base/visible_text.h"
#include "runtime/engine/self_test.h"
#include "runtime/image/palette.h"
#include "weights_tools/checkpoint.h"
#include "weights_tools/half.h"
#include "weights_tools/safetensors/safetensors.h"

namespace atrous::cli {

namespace {

struct ConvertArguments {
  std::string in, out, weights, classes, palette, background, arch;
  int resize = 0, longer_side = 0;
  bool no_resize = false, half = false;
  NormaliseOptions normalise;
  CrfArguments crf = {.use = CrfArguments::Use::recorded};
  Int8Options int8;
};

int run(const ConvertArguments& options) {
#if ATROUS_HAS_EVALUATION
  check(options.int8);
  if (options.int8.wanted) check_output(options.out);
#endif
  const Checkpoint checkpoint = open_checkpoint(options.in, options.weights);
  if (options.half && checkpoint.metadata && !checkpoint.metadata->activations.empty())
    fail(ErrorCode::unsupported, options.in, ": is quantised to 8 bits, --half would round its scales");
  StateDict state = options.half ? naming(options.in, [&] { return in_half_precision(checkpoint.state); })
                                 : checkpoint.state;
  Model model = naming(options.in, [&] {
    return make_model(state, checkpoint.metadata,
                      {.name = options.in,
                       .hyper = parse_arch(options.arch),
                       .config = checkpoint.config,
                       .arch = checkpoint.arch,
                       .normalisation = checkpoint.normalisation});
  });
  if (model.task() == Task::instances && (options.resize > 0 || options.longer_side > 0 || options.no_resize))
    throw UsageError{str_cat("--resize, --no-resize: the ", model.architecture,
                             " takes the sides that --arch says, min_size=800,max_size=1333")};
  apply_names(model, options.classes, options.palette);
  if (options.background == "none")
    model.background.reset();
  else if (!options.background.empty())
    model.background = class_by_name(model, options.background);

  Metadata metadata = checkpoint.metadata.value_or(Metadata{});
  metadata.architecture = model.architecture;
  metadata.hyper = model.hyper.text();
  metadata.classes = model.classes;
  metadata.palette = model.palette;
  metadata.preparation = model.preparation;
  metadata.decision = model.answer().decision;
  if (model.answer().align_corners) metadata.align_corners = true;
  metadata.crf = options.crf.parameters(model.answer().crf);
  metadata.background = model.background.value_or(no_background);
  if (options.no_resize) metadata.preparation.resize = {.kind = ResizeRule::Kind::none, .width = 0};
  if (options.resize > 0)
    metadata.preparation.resize = {.kind = ResizeRule::Kind::shorter_side, .width = options.resize};
  if (options.longer_side > 0)
    metadata.preparation.resize = {.kind = ResizeRule::Kind::longer_side, .width = options.longer_side};
  options.normalise.apply(metadata.preparation);
  metadata.source = file_name(checkpoint_file(options.in));
  metadata.source_sha256 = sha256_of_model(options.in);
  std::string said;
#if ATROUS_HAS_EVALUATION
  if (options.int8.wanted) {
    said = quantise(options.int8, state, metadata);
    model = naming(options.in, [&] { return make_model(state, metadata, {.name = options.in}); });
  }
#endif
  Session session(model.program);
  metadata.self_test = make_self_test(session);

  write_safetensors(options.out, state, to_strings(metadata));
  for (const std::string& note : checkpoint.notes) print(visible(note) + '\n');
  print(str_cat(visible(options.out), ": ", model.architecture, ", ", model.classes.size(), " classes, ",
                state.size(), " tensors\n", said));
  return 0;
}

}  // namespace

Action add_convert(Verb& verb) {
  auto options = std::make_shared<ConvertArguments>();
  verb.add_option("in", options->in,
                  "Checkpoint: .pth (zip or legacy), .safetensors, a folder with one, or a model's name")
      .type_name("MODEL")
      .required();
  add_weights_option(verb, options->weights);
  verb.add_option("out", options->out, "File to write, .safetensors").type_name("FILE").required();
  verb.add_option("--classes", options->classes, std::string(classes_help)).type_name("FILE");
  verb.add_option("--palette", options->palette, "Colours to store: voc, hub or a file, one colour a line")
      .type_name("FILE");
  verb.add_option(
          "--background", options->background,
          "The class to store as the one that overlays leave untinted, or none (default: the source's, "
          "or the one named background)")
      .type_name("CLASS");
  const Option resize =
      verb.add_option("--resize", options->resize, "Shorter side to store (default: the source's, or 520)")
          .whole_number(1, 16384);
  verb.add_option("--longer-side", options->longer_side, "Longer side to store in place of the shorter one")
      .whole_number(1, 16384)
      .excludes(resize);
  verb.add_flag("--no-resize", options->no_resize, "Store that photos are not resized").excludes(resize);
  add_normalise_options(verb, options->normalise, "The photo on its way in, to store");
  add_crf_options(verb, options->crf, "What --crf takes later, to store");
  add_arch_option(verb, options->arch);
  const Option half = verb.add_flag(
      "--half", options->half, "Store fp32 tensors in half precision: half the bytes, rounded to 11 bits");
#if ATROUS_HAS_EVALUATION
  add_int8_options(verb, options->int8, half);
#else
  static_cast<void>(half);
#endif
  verb.footer(
      "Names and values stay exactly as they are (but for --half and --int8), so torchvision can load the "
      "result;\n"
      "beside them go classes, colours, preprocessing, the source's sha256 and a self-test.\n\n"
      "Examples:\n"
      "  atrous convert deeplabv3_resnet101_coco-586e9e4e.pth deeplabv3_resnet101.safetensors\n"
      "  atrous convert camvid.pth camvid.safetensors --half --classes camvid.txt --palette colours.txt"
#if ATROUS_HAS_EVALUATION
      "\n  atrous convert fcn_resnet50 fcn8.safetensors --int8 --calibrate photos"
#endif
  );
  return [options] { return run(*options); };
}

}  // namespace atrous::cli
