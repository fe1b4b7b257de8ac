#include "cli/segment_options.h"

#include <initializer_list>
#include <utility>

#include "cli/names.h"
#if ATROUS_HAS_EVALUATION
#include "cli/shard_option.h"
#endif
#include "layers/base/error.h"
#include "layers/base/visible_text.h"
#include "runtime/image/palette.h"

namespace atrous::cli {

namespace {

constexpr std::string_view photo_formats =
#if ATROUS_HAS_WEBP
    "JPEG, PNG, WebP, BMP, PNM";
#else
    "JPEG, PNG, BMP, PNM";
#endif

ResizeRule rule_of(const SegmentArguments& o, const std::optional<TestProtocol>& protocol,
                   const Model& model) {
  ResizeRule rule = resize_rule(o.size.rule(), protocol, model);
#if ATROUS_HAS_TILES
  if (o.protocol.tiling()) rule = {.kind = ResizeRule::Kind::none};
#endif
  if (o.center_crop > 0) rule.center_crop = o.center_crop;
  return rule;
}

#if ATROUS_HAS_TILES
// What needs the whole picture at once.
void check_tiled(const SegmentArguments& o) {
  const std::pair<bool, const char*> unfit[] = {{o.sheet, "--sheet"},
                                                {o.legend, "--legend"},
                                                {o.writes_jpeg() && !o.stream, "--format jpg"},
                                                {!o.logits.empty(), "--logits"},
                                                {!o.probabilities.empty(), "--probabilities"},
                                                {!o.truth.file.empty(), "--truth"},
                                                {o.crf.wanted, "--crf"},
                                                {o.center_crop > 0, "--center-crop"},
                                                {o.upsample != "bilinear", "--upsample"}};
  for (const auto& [given, option] : unfit)
    if (given)
      throw UsageError{
          str_cat(option, " does not go with --tile, whose results are written row by row as they are made")};
}
#endif

}  // namespace

SegmentOptions segment_options(const SegmentArguments& o, const Model& model) {
  const std::optional<TestProtocol> protocol = o.protocol.protocol(model);
  return {.resize = rule_of(o, protocol, model),
          .at_input = o.at == "input",
          // Computed in as much time as the labels: only where it is shown.
          .confidence = o.confidence || o.prints_table() || !o.json.empty(),
          .logits = !o.logits.empty(),
          .probabilities = !o.probabilities.empty(),
          .upsampling = o.upsample == "transposed" ? Upsampling::transposed : Upsampling::bilinear,
          .output = o.aux ? "aux" : "out",
          .threshold = o.threshold,
          .crf = o.crf.parameters(model.answer().crf),
          .protocol = protocol};
}

void check(const SegmentArguments& o, std::size_t inputs) {
  if (o.to_stdout()) {
    const int pictures = o.wants_mask() + o.wants_overlay() + (o.labels || o.indexed) + o.sheet +
                         o.confidence + !o.cutout.empty();
    if (inputs != 1 || pictures != 1)
      throw UsageError{str_cat("-o -: one picture of one photo can go to standard output, not ", pictures,
                               " of ", inputs)};
    if (o.json == "-" || o.logits == "-" || o.probabilities == "-")
      throw UsageError{"-o -: standard output is taken by the picture"};
  }
  if ((o.json == "-") + (o.logits == "-") + (o.probabilities == "-") > 1)
    throw UsageError{"--json, --logits and --probabilities: one of them can go to standard output"};
  if (!o.stream && (o.format == "y4m" || o.format == "ppm"))
    throw UsageError{str_cat("--format ", o.format, " is for --stream")};
  if (o.quality != 0 && !o.writes_jpeg()) throw UsageError{"--quality is for --format jpg"};
  if (!o.cutout_on.empty() && o.cutout.empty()) throw UsageError{"--cutout-on: there is no --cutout"};
  if (o.writes_jpeg() && !o.cutout.empty() && o.cutout_on.empty())
    throw UsageError{
        "--format jpg: JPEG has no transparency for the cut-out; give it a colour by --cutout-on"};
  if (o.writes_jpeg() && !o.wants_overlay() && !o.sheet && o.cutout.empty())
    throw UsageError{
        "--format jpg: overlays, sheets and cut-outs can be JPEG, none of them is asked for; masks, labels "
        "and "
        "confidences are always PNG"};
  if (!(o.style.alpha >= 0 && o.style.alpha <= 1))
    throw UsageError{str_cat("--alpha ", o.style.alpha, ": expected 0 to 1")};
  for (const auto& [option, file] :
       {std::pair{"--logits", &o.logits}, std::pair{"--probabilities", &o.probabilities}})
    if (!file->empty() && inputs != 1) throw UsageError{str_cat(option, " takes one input, found ", inputs)};
  o.protocol.check(o.size);
#if ATROUS_HAS_TILES
  if (o.protocol.tiling()) check_tiled(o);
#endif
  if (const char* given = o.protocol.given(); given && o.protocol.name != "torchvision") {
    if (!o.logits.empty())
      throw UsageError{str_cat("--logits: ", given, " averages probabilities; --probabilities has them")};
    if (o.upsample != "bilinear")
      throw UsageError{str_cat("--upsample ", o.upsample, ": with ", given, " logits grow bilinearly")};
    if (o.center_crop > 0) throw UsageError{str_cat("--center-crop: with ", given, " nothing is cut off")};
  }
  if (!o.truth.file.empty() && inputs != 1)
    throw UsageError{str_cat("--truth takes one input, found ", inputs, "; atrous eval compares many")};
  if (!o.truth.ignore.empty()) parse_ignore(o.truth.ignore);
}

void check_task(const SegmentArguments& o, const Model& model) {
  const auto refuse = [](std::initializer_list<std::pair<bool, const char*>> given, const auto&... why) {
    for (const auto& [is_given, option] : given)
      if (is_given) throw UsageError{str_cat(option, ": ", why...)};
  };
  const InstanceArguments& i = o.instances;
  if (model.task() == Task::semantic) {
    const char* given = i.which.given();
    refuse({{!i.folder.empty(), "--instances"}, {given != nullptr, given}}, "the ", model.architecture,
           " gives each pixel a class, it finds no instances");
    return;
  }
  const char* protocol = o.protocol.given();
  refuse({{!o.logits.empty(), "--logits"},
          {!o.probabilities.empty(), "--probabilities"},
          {protocol != nullptr, protocol},
          {o.at == "input", "--at input"},
          {o.upsample != "bilinear", "--upsample"},
          {o.center_crop > 0, "--center-crop"},
          {o.threshold.has_value(), "--threshold"},
          {o.crf.wanted, "--crf"},
          {o.confidence, "--confidence"},
          {o.aux, "--aux"}},
         "the ", model.architecture, " finds instances, it gives no pixel a class");
  if (model.has_masks()) return;
  refuse({{o.mask || (o.to_stdout() && !o.wants_overlay()), "--mask"},
          {o.labels, "--labels"},
          {o.indexed, "--indexed"},
          {o.sheet, "--sheet"},
          {o.legend, "--legend"},
          {!o.cutout.empty(), "--cutout"},
          {!i.folder.empty(), "--instances"},
          {!o.truth.file.empty(), "--truth"}},
         "the ", model.architecture, " finds boxes, no masks");
}

Colour parse_colour(const std::string& option, const std::string& words) {
  try {
    return read_palette(words, option).front();
  } catch (const Error&) {
    throw UsageError{str_cat(option, " ", visible(words), ": expected \"R G B\" (0..255) or \"#rrggbb\"")};
  }
}

void add_segment_options(Verb& verb, SegmentArguments& o) {
  verb.add_option("photos", o.inputs,
                  str_cat("Photos (", photo_formats, "), folders, - for standard input, or .npy tensors"))
      .type_name("PHOTO")
      .required();
  add_model_option(verb, o.run);
  verb.add_option("-o,--output", o.output,
                  "Folder for the results (default: beside each photo), or - for standard output")
      .type_name("FOLDER");

  const auto in = "What is written";
  const Option mask =
      verb.add_flag("--mask", o.mask, "NAME.mask.png, the classes' colours (default)").group(in);
  const Option overlay =
      verb.add_flag("--overlay", o.overlay, "NAME.overlay.png, the colours over the photo (default)")
          .group(in);
  verb.add_flag("--no-mask", o.no_mask, "Do not write the mask").excludes(mask).group(in);
  verb.add_flag("--no-overlay", o.no_overlay, "Do not write the overlay").excludes(overlay).group(in);
  verb.add_flag("--labels", o.labels, "NAME.labels.png, 8-bit class indices").group(in);
  verb.add_flag("--indexed", o.indexed,
                "NAME.labels.png as an indexed PNG in the classes' colours, as VOC's are")
      .group(in);
  verb.add_flag("--sheet", o.sheet, "NAME.sheet.png, photo, mask and overlay side by side, with a legend")
      .group(in);
  verb.add_flag("--legend", o.legend, "A legend below the overlay").group(in);
  verb.add_flag("--confidence", o.confidence, "NAME.confidence.png, the label's probability, white is 1")
      .group(in);
  verb.add_option("--cutout", o.cutout,
                  "NAME.cutout-CLASS.png, the photo where CLASS is, transparent elsewhere")
      .type_name("CLASS")
      .group(in);
  verb.add_option("--cutout-on", o.cutout_on,
                  "The cut-out on this colour, not transparent: #rrggbb or \"R G B\"")
      .type_name("COLOUR")
      .group(in);
  verb.add_option("--format", o.format,
                  "Overlay, sheet and cut-out as png or jpg (default: png); masks, labels and confidence are "
                  "always PNG. Of a stream: y4m, ppm, png, and overlays as jpg")
      .one_of({"png", "jpg", "y4m", "ppm"})
      .group(in);
  verb.add_option(
          "--quality", o.quality,
          "Of --format jpg (90 unless given); up to 90 the colours have half the width and height, 4:2:0")
      .whole_number(1, 100)
      .group(in);
  verb.add_option("--logits", o.logits, "The logits at the input's size, N x C x H x W, .npy or -")
      .type_name("FILE")
      .group(in);
  verb.add_option("--probabilities", o.probabilities,
                  "The label map's probabilities, N x C x H x W, .npy or -")
      .type_name("FILE")
      .group(in);
  verb.add_option("--json", o.json, "What the table says, as JSON, to a file or -")
      .type_name("FILE")
      .group(in);
  verb.add_flag("-q,--quiet", o.quiet, "No table, of a stream no frame rate").group(in);

  const auto compared = "Compared with the truth";
  verb.add_option(
          "--truth", o.truth.file,
          "The photo's true labels, a PNG, BMP or PNM of class indices or colours, or .npy: IoU is printed")
      .type_name("FILE")
      .group(compared);
  verb.add_option("--ignore", o.truth.ignore, "The label that is void there, or none (default: 255)")
      .type_name("LABEL")
      .group(compared);
  add_label_palette_option(verb, o.truth.label_palette, compared);

  const auto how = "The photo on its way in";
  add_size_options(verb, o.size, how);
  verb.add_option("--center-crop", o.center_crop, "Then this square of the middle")
      .whole_number(1, 16384)
      .group(how);
  add_normalise_options(verb, o.normalise, how);
  verb.add_flag("--no-exif", o.no_exif, "Ignore the EXIF orientation").group(how);
  verb.add_flag("-r,--recursive", o.recursive, "Of folders, the pictures in their folders too, however deep")
      .group(how);
  verb.add_flag("--skip-broken", o.skip_broken,
                "Of several photos or frames, those that cannot be read or segmented are named and left out, "
                "with exit "
                "status 0; but 1 where the network's values overflow, which no photo is to blame for")
      .group(how);

#if ATROUS_HAS_STREAM
  verb.add_flag(
          "--stream", o.stream,
          "Standard input (-) is a video: YUV4MPEG2, or JPEG, PNG or PPM files one after the other. Each "
          "frame's overlay, --mask or --labels goes to standard output, or to the file that -o names, "
          "in the input's format unless --format says another (PNG for JPEG)")
      .group(how);
#endif

#if ATROUS_HAS_EVALUATION
  const auto many = "A million pictures";
  add_shard_option(verb, o.shard, many);
  verb.add_option(
          "--resume", o.resume,
          "Keep a manifest in this file, a line of JSON as each picture is done, and go on from it where "
          "it exists")
      .type_name("FILE")
      .group(many);
  verb.add_option("--pack", o.pack, "All results into one tar, instead of a file each")
      .type_name("FILE")
      .group(many);
#endif

  const auto result = "The result";
  verb.add_option("--at", o.at, "Label map at the photo's size or the network's input size")
      .one_of({"photo", "input"})
      .show_default()
      .group(result);
  verb.add_option("--upsample", o.upsample, "How logits grow: bilinear (torchvision's) or transposed (FCN's)")
      .one_of({"bilinear", "transposed"})
      .show_default()
      .group(result);
  add_threshold_option(verb, o.threshold, result);
  add_crf_options(verb, o.crf, result);
  add_protocol_options(verb, o.protocol, "Several scales, tiles and mirror images, averaged");
  add_instance_options(verb, o.instances, "Of a model that finds instances");
#if ATROUS_HAS_EXPLAIN
  add_layer_options(verb, o.layer);
#endif
  verb.add_flag("--aux", o.aux, "The auxiliary head's answer").group(result);
  verb.add_option("--palette", o.palette, "Colours: voc, hub, or a file with one colour a line")
      .type_name("FILE")
      .group(result);
  verb.add_option("--classes", o.classes, std::string(classes_help)).type_name("FILE").group(result);
  verb.add_option("--alpha", o.style.alpha, "How strong the overlay's colours are")
      .show_default()
      .group(result);
  verb.add_flag("--no-contours", o.no_contours, "No outlines on the overlay").group(result);
  verb.add_flag("--background", o.tint_background, "Tint the background too").group(result);

  add_device_options(verb, o.run);
  add_run_options(verb, o.run);
}

}  // namespace atrous::cli
