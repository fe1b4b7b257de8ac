// atrous segment PHOTO... -m MODEL
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <iterator>

#include "cli/inputs.h"
#include "cli/model_argument.h"
#include "cli/names.h"
#include "cli/progress_line.h"
#include "cli/segment_options.h"
#include "cli/segment_stream.h"
#include "weights_tools/io/json_output.h"
#if ATROUS_HAS_EVALUATION
#include "cli/manifest.h"
#include "weights_tools/io/sha256.h"
#endif
#if ATROUS_HAS_EXPLAIN
#include "cli/segment_layer.h"
#endif
#if ATROUS_HAS_TILES
#include "cli/segment_tiled.h"
#endif
#include "layers/base/error.h"
#include "layers/base/visible_text.h"
#include "runtime/drawing/lettering.h"
#include "runtime/drawing/pictures.h"
#include "runtime/engine/pipeline.h"
#include "runtime/image/image_read.h"
#include "runtime/image/jpeg.h"
#include "runtime/image/npy.h"
#include "runtime/image/png.h"
#include "runtime/instances/detector.h"
#include "runtime/instances/instance_overlay.h"
#include "runtime/instances/instances_json.h"
#include "runtime/metrics/metrics.h"
#include "runtime/segment/options_json.h"
#include "runtime/segment/segmentation_json.h"
#include "runtime/segment/segmenter.h"
#if ATROUS_HAS_TILES
#include "runtime/tiles/tiling_json.h"
#endif
#include "runtime/engine/program.h"
#include "runtime/engine/stopwatch.h"
#include "weights_tools/io/file.h"

namespace atrous::cli {

namespace {

// The logits or probabilities of a batch as one tensor [n, h, w, classes].
Tensor stack(const std::vector<Segmentation>& results, Tensor Segmentation::*which) {
  Shape shape = (results.front().*which).shape();
  shape.n = static_cast<std::int64_t>(results.size());
  Tensor all(shape);
  float* to = all.data();
  for (const Segmentation& s : results) to = std::copy_n((s.*which).data(), (s.*which).values().size(), to);
  return all;
}

// One input, and what came of it.
struct Job {
  const SegmentArguments& options;
  const Model& model;
  Session* session;    // of a model that gives each pixel a class
  Detector* detector;  // of one that finds instances
  OverlayOptions style;
  std::size_t number = 0;  // of the input
  std::size_t image = 1;   // its number in the whole list
  std::string said = {};   // on standard output
  std::vector<JsonText> report = {};
  std::exception_ptr failure = {};
  // The picture's own truth and how the labels compare with it, where asked for.
  std::optional<Truth> truth = {};
  Metrics against_truth = {};
  bool segmented = false;  // what fails from then on is not the picture's fault
  std::optional<Instances> instances = {};
#if ATROUS_HAS_EVALUATION
  PictureDone done = {};
  PackedFiles packed = {};  // results on their way into a tar
#endif

  void run(const Input&);
#if ATROUS_HAS_TILES
  void run_tiled(const Input&);
#endif
  Segmentation find_instances(const Image& photo);
  Image overlay_of(const Segmentation&, const Image& under) const;
  std::string results_in_words(const std::vector<ClassShare>&) const;
  std::vector<std::string> write_pictures(const Segmentation&, const Image* under,
                                          const std::vector<ClassShare>&, const std::string& stem);
  void compare(const Segmentation&);
  Image sheet_of(const Segmentation&, const Image& under, std::span<const LegendEntry>) const;
  std::string in_words(const std::string& name, const Segmentation&, const std::vector<ClassShare>&,
                       const std::vector<std::string>& files) const;
  JsonText in_json(const std::string& name, const Segmentation&, const std::vector<ClassShare>&,
                   const std::vector<std::string>& files) const;
  const std::string& class_name(int c) const { return model.classes[static_cast<std::size_t>(c)]; }
};

Image Job::overlay_of(const Segmentation& s, const Image& under) const {
  return instances ? instance_overlay(under, *instances, model, style)
                   : overlay(under, s.labels, model.palette, style);
}

Image Job::sheet_of(const Segmentation& s, const Image& under, std::span<const LegendEntry> legend) const {
  std::vector<Panel> panels{{under, "photo"}};
  // Void is drawn as white, whatever its number.
  if (truth) {
    LabelMap drawn = truth->labels;
    Palette colours = model.palette;
    colours.resize(256, {255, 255, 255});
    panels.push_back({colourise(drawn, colours), "truth"});
  }
  panels.push_back({colourise(s.labels, model.palette), "mask"});
  panels.push_back({overlay_of(s, under), "overlay"});
  return sheet(panels, legend);
}

// under: what the label map lies on; null for a tensor, which has nothing to lay colours on.
std::vector<std::string> Job::write_pictures(const Segmentation& s, const Image* under,
                                             const std::vector<ClassShare>& shares, const std::string& stem) {
  std::vector<std::string> files;
  const auto write_as = [&](const char* extension, const std::string& kind,
                            const std::vector<std::byte>& bytes) {
    files.push_back(options.to_stdout() ? "-" : stem + '.' + kind + '.' + extension);
#if ATROUS_HAS_EVALUATION
    done.outputs.push_back(files.back());
    if (!options.pack.empty()) {
      packed.emplace_back(files.back(), bytes);
      return;
    }
#endif
    write_to(files.back(), bytes);
  };
  const auto write = [&](const std::string& kind, const std::vector<std::byte>& png) {
    write_as("png", kind, png);
  };
  const auto write_photo = [&](const std::string& kind, const Image& picture) {
    if (options.writes_jpeg())
      write_as("jpg", kind, encode_jpeg(picture, options.quality ? options.quality : 90));
    else
      write(kind, encode_png(picture));
  };
  const auto legend = legend_of(shares, model.classes, model.palette);
  if (options.wants_mask()) write("mask", encode_png(colourise(s.labels, model.palette)));
  if (options.wants_overlay() && under) {
    const Image tinted = overlay_of(s, *under);
    write_photo("overlay", options.legend ? with_legend(tinted, legend) : tinted);
  }
  if (options.sheet) write_photo("sheet", sheet_of(s, *under, legend));
  if (options.indexed)
    write("labels", encode_png(s.labels, model.palette));
  else if (options.labels)
    write("labels", encode_png(Image{s.labels.width, s.labels.height, 1, s.labels.labels}));
  if (options.confidence)
    write("confidence", encode_png(confidence_picture(s.confidence, s.labels.width, s.labels.height)));
  if (!options.cutout.empty()) {
    const std::uint8_t cls = class_by_name(model, options.cutout);
    write_photo("cutout-" + file_safe(options.cutout),
                options.cutout_on.empty()
                    ? cutout(*under, s.labels, cls)
                    : cutout(*under, s.labels, cls, parse_colour("--cutout-on", options.cutout_on)));
  }
  return files;
}

std::string ratio_text(const Ratio& ratio) { return ratio ? fixed(*ratio, 3) : "-"; }

std::string Job::results_in_words(const std::vector<ClassShare>& shares) const {
  if (instances) return instances_table(*instances, model);
  Table table(truth ? std::vector<std::string>{"class", "share", "confidence", "IoU"}
                    : std::vector<std::string>{"class", "share", "confidence"});
  for (const ClassShare& c : shares) {
    std::vector<std::string> row{class_name(c.index), fixed(100 * c.share, 2) + "%",
                                 c.pixels ? fixed(c.confidence, 3) : "-"};
    if (truth) row.push_back(ratio_text(against_truth.classes[static_cast<std::size_t>(c.index)].iou));
    table.add(std::move(row));
  }
  return table.plain();
}

std::string Job::in_words(const std::string& name, const Segmentation& s,
                          const std::vector<ClassShare>& shares,
                          const std::vector<std::string>& files) const {
  const double total = s.prepare_seconds + s.network_seconds + s.label_seconds;
  std::string said = str_cat(visible(name), ": ", s.labels.width, "x", s.labels.height, ", network at ",
                             s.input_width, "x", s.input_height, ", ", fixed(total * 1e3, 0), " ms (network ",
                             fixed(s.network_seconds * 1e3, 0), ")\n", results_in_words(shares));
  if (const auto protocol = options.protocol.protocol(model))
    said += "protocol " + atrous::in_words(*protocol) + '\n';
#if ATROUS_HAS_TILES
  if (const auto tiling = options.protocol.tiling()) said += atrous::in_words(*tiling) + '\n';
#endif
  if (truth)
    said +=
        str_cat("against ", visible(options.truth.file), ": mean IoU ", ratio_text(against_truth.mean_iou),
                ", pixel accuracy ", ratio_text(against_truth.pixel_accuracy), '\n');
  if (truth)
    for (const std::string& note : truth->notes) said += visible(options.truth.file) + ": " + note + '\n';
  for (const std::string& file : files) said += str_cat("wrote ", visible(file), '\n');
  return said;
}

JsonText Job::in_json(const std::string& name, const Segmentation& s, const std::vector<ClassShare>& shares,
                      const std::vector<std::string>& files) const {
  const auto class_json = [this](const ClassShare& c) {
    JsonText out = class_share_json(c, model);
    if (truth) add_member(out, "iou", against_truth.classes[static_cast<std::size_t>(c.index)].iou);
    return out;
  };
  std::vector<JsonText> classes;
  for (const ClassShare& c : shares) classes.push_back(class_json(c));
  JsonText out = segmentation_json(name, model, s, classes, files);
  if (!instances) {
    const SegmentOptions how = segment_options(options, model);
    if (how.crf) add_member(out, "crf", crf_json(*how.crf));
    if (how.protocol) add_member(out, "protocol", protocol_json(*how.protocol));
#if ATROUS_HAS_TILES
    if (const auto tiling = options.protocol.tiling()) add_member(out, "tiles", tiling_json(*tiling));
#endif
  }
  if (truth)
    add_member(out, "truth",
               json_object({{"file", options.truth.file},
                            {"mean_iou", against_truth.mean_iou},
                            {"pixel_accuracy", against_truth.pixel_accuracy},
                            {"notes", json_list(truth->notes)}}));
  return out;
}

// The classes of the label map, the most frequent first, and behind them those that only the truth has.
std::vector<ClassShare> with_missed(std::vector<ClassShare> shares, const Metrics& metrics) {
  for (std::size_t c = 0; c < metrics.classes.size(); ++c)
    if (metrics.classes[c].truth_pixels > 0 && metrics.classes[c].predicted_pixels == 0)
      shares.push_back({.index = static_cast<int>(c)});
  return shares;
}

void Job::compare(const Segmentation& s) {
  truth = read_truth(options.truth, model);
  ConfusionMatrix confusion(static_cast<int>(model.classes.size()));
  naming(options.truth.file, [&] { confusion.add(truth->labels, s.labels, truth->ignore); });
  against_truth = compute_metrics(confusion);
}

// What the results of a photo take at once, at its own size: the photo, labels, confidences, and a picture on
// its way into a PNG, with its filtered and its compressed rows. 200 megapixels were seen to take 19.7 bytes
// each. classes: of the probabilities, where they are there at that size too.
void check_memory(const Image& photo, std::size_t classes, std::uint64_t available) {
  const std::uint64_t bytes_a_pixel = 3 + 1 + 4 + 3 * 4 + 4 * classes;
  const std::uint64_t pixels =
      static_cast<std::uint64_t>(photo.width) * static_cast<std::uint64_t>(photo.height);
  if (available != 0 && pixels * bytes_a_pixel > available)
    fail(ErrorCode::limit, "results of ", photo.width, "x", photo.height, " take about ",
         megabytes(pixels * bytes_a_pixel), ", this machine has ", megabytes(available),
         "; --at input makes them at the network's size");
}

// Their label map is the classes painted from the lowest score to the highest.
Segmentation Job::find_instances(const Image& photo) {
  instances = detector->detect(photo, instance_options(options.instances, options.size, model, photo));
  Segmentation s;
  s.labels = model.has_masks() ? painted_labels(*instances) : LabelMap{photo.width, photo.height, {}};
  s.input_width = instances->input_width;
  s.input_height = instances->input_height;
  s.prepare_seconds = instances->prepare_seconds;
  s.network_seconds = instances->trunk_seconds + instances->head_seconds;
  return s;
}

#if ATROUS_HAS_TILES
void Job::run_tiled(const Input& input) {
  const std::string name = input.path == "-" ? "standard input" : input.path;
  const bool alone = options.inputs.size() == 1 && number == 0;
  const TiledPhoto made =
      segment_tiled_photo(options, model, *session, style, input, alone && !options.quiet, segmented);
  segmented = true;
#if ATROUS_HAS_EVALUATION
  done.outputs = made.files;
  if (!options.resume.empty()) done.sha256 = sha256_of_file(input.path);
#endif
  if (options.prints_table()) said += in_words(name, made.result, made.shares, made.files);
  if (!options.json.empty()) report.push_back(in_json(name, made.result, made.shares, made.files));
}
#endif

void Job::run(const Input& input) {
#if ATROUS_HAS_TILES
  if (options.protocol.tiling()) return run_tiled(input);
#endif
  const OpenInput opened(input.path);
#if ATROUS_HAS_EVALUATION
  if (!options.resume.empty())
    done.sha256 = opened.tensor ? sha256_of_file(input.path) : sha256_of_bytes(opened.bytes);
#endif
  const std::string name = input.path == "-" ? "standard input" : input.path;
  const SegmentOptions how = segment_options(options, model);
  std::vector<Segmentation> results;
  std::optional<Image> photo;
  if (opened.tensor || is_npy(opened.bytes)) {
    const char* unfit = detector                  ? "instances"
                        : !options.cutout.empty() ? "--cutout"
                        : options.overlay         ? "--overlay"
                        : options.sheet           ? "--sheet"
                                                  : nullptr;
    if (unfit) fail(ErrorCode::invalid_argument, name, ": a tensor has no pixels for ", unfit);
    if (how.crf) fail(ErrorCode::invalid_argument, name, ": a tensor has no pixels for --crf");
    if (const char* given = options.protocol.given())
      fail(ErrorCode::invalid_argument, name, ": a tensor has no pixels for ", given);
    const InputFile in_memory(opened.bytes, name);
    const NpyInput tensor(opened.tensor ? *opened.tensor : in_memory);
    results = naming(
        name,
        [&] {
          return segment(
              *session, model, tensor.shape(), [&](View place) { tensor.read(place); }, how);
        },
        ErrorCode::io);
  } else {
    photo = read_image(opened.bytes, name, {.exif = !options.no_exif, .alone = input.path == "-"});
    const bool has_maps = how.protocol || how.crf || how.probabilities;
    if (!how.at_input)
      naming(name, [&] { check_memory(*photo, has_maps ? model.classes.size() : 0, physical_memory()); });
    results.push_back(naming(
        name, [&] { return detector ? find_instances(*photo) : segment(*session, model, *photo, how); }));
  }
  if (options.to_stdout() && results.size() != 1)
    throw UsageError{
        str_cat("-o -: ", name, " holds ", results.size(), " images, one can go to standard output")};
  segmented = true;
  const auto write_maps = [&](const std::string& path, Tensor Segmentation::*which) {
    if (!path.empty()) write_to(path, encode_npy(stack(results, which).view()));
  };
  write_maps(options.logits, &Segmentation::logits);
  write_maps(options.probabilities, &Segmentation::probabilities);
  for (std::size_t n = 0; n < results.size(); ++n) {
    const std::string suffix = results.size() > 1 ? str_cat('.', n) : "";
    const std::string title = name + (results.size() > 1 ? str_cat('[', n, ']') : "");
    if (!options.truth.file.empty()) compare(results[n]);
    auto shares = class_shares(results[n]);
    const Image* under = photo ? &picture_under(results[n], *photo) : nullptr;
    auto files = write_pictures(results[n], under, shares, input.stem + suffix);
    if (!options.instances.folder.empty()) {
      const auto more = write_instances(options.instances.folder, input, *instances, model);
      std::ranges::copy(more, std::back_inserter(files));
#if ATROUS_HAS_EVALUATION
      std::ranges::copy(more, std::back_inserter(done.outputs));
#endif
    }
    if (truth) shares = with_missed(std::move(shares), against_truth);
    if (options.prints_table()) said += in_words(title, results[n], shares, files);
    if (options.json.empty()) continue;
    if (instances)
      report = instances_json(*instances, model, input.path, image_number(input.path, image));
    else
      report.push_back(in_json(title, results[n], shares, files));
  }
}

int run(SegmentArguments& options, const Verb& verb) {
#if ATROUS_HAS_EXPLAIN
  check_layer(options.layer, verb);
  if (!options.layer.name.empty()) return segment_layer(options);
#endif
#if ATROUS_HAS_STREAM
  if (options.stream) settle_stream(options);
#endif
  const bool folder_given = !options.stream && !options.output.empty() && !options.to_stdout();
  if (!options.cutout_on.empty()) parse_colour("--cutout-on", options.cutout_on);
  const std::string folder = !options.pack.empty() ? "." : folder_given ? options.output : "";
  Inputs found = expand_inputs(options.inputs, folder, options.recursive);
  std::vector<Input>& inputs = found.inputs;
  check(options, inputs.size());
#if ATROUS_HAS_EVALUATION
  const Shard shard = Manifest::check(options, inputs);
#else
  static_cast<void>(verb);
#endif
  SessionOptions session_options = options.run.session_options();
  Model model = open_model(options.run.model, options.run.model_options(options.aux));
  if (!options.quiet) notify_choice(options.run.model, model);
  check_task(options, model);
  options.has_masks = model.has_masks();
  apply_names(model, options.classes, options.palette);
  options.normalise.apply(model.preparation);
  if (!options.cutout.empty()) class_by_name(model, options.cutout);
  check_threshold(options.threshold, model, options.run.model);
  OverlayOptions style = options.style;
  if (!options.tint_background) style.background = model.background;
  segment_options(options, model);  // a contradiction is found before any work is done
#if ATROUS_HAS_STREAM
  if (options.stream) return segment_stream(options, model, session_options, style);
#endif
  for (const std::string& sentence : found.passed_over) note(sentence);
  const bool several = inputs.size() > 1;
#if ATROUS_HAS_EVALUATION
  Manifest manifest(options, shard, model, std::move(inputs),
                    verb.given({"photos", "--shard", "--resume", "--threads", "--memory-limit", "--quiet",
                                "--model", "--recursive", "--skip-broken"}));
  inputs = manifest.inputs();
  const std::size_t all = manifest.size();
#else
  const std::size_t all = inputs.size();
#endif
  if (folder_given) {
    make_folder(options.output);
    for (const Input& input : inputs)
      if (!input.inside.empty()) make_folder(options.output + '/' + input.inside);
  }

  // On a device several pictures are at work at once, each with a session: while one is decoded or written,
  // another crosses the bus and a third is computed. The processor has its hands full with one.
  const std::size_t at_once = model.program->device ? std::clamp<std::size_t>(inputs.size(), 1, 4) : 1;
  if (at_once > 1 && session_options.threads == 0) session_options.threads = 1;
  const bool detects = model.task() == Task::instances;
  std::vector<Session> sessions;
  std::vector<Detector> detectors;
  for (std::size_t i = 0; i < at_once; ++i)
    if (detects)
      detectors.emplace_back(model, session_options);
    else
      sessions.emplace_back(model.program, session_options);
  PipelineSteps<Job> steps;
  steps.prepare = [&](std::size_t i) {
    Job job{options,
            model,
            detects ? nullptr : &sessions[i % at_once],
            detects ? &detectors[i % at_once] : nullptr,
            style,
            i,
            i + 1};
#if ATROUS_HAS_EVALUATION
    job.image = manifest.number(i);
    job.done.place = i;
    const Stopwatch watch;
#endif
    try {
      job.run(inputs[i]);
    } catch (...) {
      job.failure = std::current_exception();
    }
#if ATROUS_HAS_EVALUATION
    job.done.seconds = watch.elapsed();
#endif
    return job;
  };

  ProgressLine line(several && !(options.prints_table() && isatty(STDOUT_FILENO)));  // "[ 3/20] dog.jpg"
  std::size_t broken = 0, overflowed = 0;
  // One broken photo does not stop a folder: it is named, and the exit status tells. Results that cannot be
  // written do: the next ones could not be either.
  const auto go_on_after = [&](Job& job, const std::string& sentence) {
    line.clear();
    const bool is_fatal = job.segmented || !several;
#if ATROUS_HAS_EVALUATION
    job.done.error = sentence;
    job.done.outputs.clear();
    if (!job.segmented) manifest.add(job.done, {});
#endif
    if (is_fatal) throw;
    complain(sentence);
    ++broken;
  };
  const auto show_next = [&](std::size_t i) {
    if (i < inputs.size()) line.show(counter(i + 1, inputs.size()) + ' ' + visible(inputs[i].path));
  };
  std::vector<JsonText> report;
  steps.finish = [&](Job& job) {
    const std::string& path = inputs[job.number].path;
    if (!job.said.empty()) print(job.said);
    std::ranges::copy(job.report, std::back_inserter(report));
    try {
      if (job.failure) std::rethrow_exception(job.failure);
#if ATROUS_HAS_EVALUATION
      manifest.add(job.done, job.packed);
#endif
    } catch (const OutOfMemory& error) {
      go_on_after(job, visible(path) + ": " + error.what());
    } catch (const Error& error) {
      if (error.code() == ErrorCode::device) throw;  // nor does another photo after it
      if (error.code() == ErrorCode::not_finite) ++overflowed;
      go_on_after(job, error.what());
    } catch (const std::bad_alloc&) {
      go_on_after(job, visible(path) + ": out of memory");
    }
    show_next(job.number + 1);
  };
  show_next(0);
  run_pipeline({.last = inputs.size(), .threads = at_once > 1 ? at_once : 0, .ahead = at_once}, steps);
  line.clear();
#if ATROUS_HAS_EVALUATION
  manifest.finish();
#endif
  if (!options.json.empty()) {
    const std::string json = json_output(json_list(report));
    write_to(options.json, json);
  }
  if (broken == 0) return 0;
  const std::string sentence = str_cat(broken, " of ", inputs.size(), " pictures failed");
  if (options.skip_broken && overflowed > 0)
    fail(ErrorCode::not_finite, sentence, ", ", overflowed,
         " by the network, which --skip-broken does not excuse");
  if (!options.skip_broken || broken == all) fail(ErrorCode::io, sentence);
  complain(sentence);
  return 0;
}

}  // namespace

Action add_segment(Verb& verb) {
  auto o = std::make_shared<SegmentArguments>();
  add_segment_options(verb, *o);
  verb.footer(
      "Examples:\n"
      "  atrous segment dog.jpg -m deeplabv3_resnet101\n"
      "  atrous segment photos/ -m fcn_resnet50.safetensors -o results --labels --json results/all.json"
#if ATROUS_HAS_TILES
      "\n  atrous segment map.png -m lraspp_mobilenet_v3_large --tile 520 --overlap 64"
#endif
#if ATROUS_HAS_EVALUATION
      "\n  atrous segment photos/ -r --shard 2/7 --labels --resume 2.jsonl --pack 2.tar"
#endif
#if ATROUS_HAS_EXPLAIN
      "\n  atrous segment street.png -m deeplabv3_resnet50 --layer aspp"
#endif
#if ATROUS_HAS_STREAM
      "\n  ffmpeg -i drive.mp4 -f yuv4mpegpipe - | atrous segment - --stream | ffplay -"
#endif
  );
  return [o, verb] {
    o->style.contours = !o->no_contours;
    return run(*o, verb);
  };
}

}  // namespace atrous::cli
