#include "runtime/evaluation/evaluate.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <exception>
#include <limits>
#include <memory>
#include <utility>

#include "layers/base/checked.h"
#include "layers/base/error.h"
#include "runtime/engine/pipeline.h"
#include "runtime/engine/program.h"
#include "runtime/evaluation/attempt.h"
#include "runtime/evaluation/comparison.h"
#include "runtime/evaluation/dataset_classes.h"
#include "runtime/evaluation/evaluation_state.h"
#include "runtime/evaluation/journal.h"
#include "runtime/evaluation/truth_rows.h"
#include "runtime/evaluation/upsampled_scores.h"
#include "runtime/image/image_read.h"
#include "runtime/image/label_read.h"
#include "runtime/image/pillow_resize.h"
#include "runtime/image/preprocess.h"
#include "runtime/segment/segmenter.h"
#include "runtime/tiles/png_rows.h"
#include "runtime/tiles/reduced.h"
#include "weights_tools/io/clean_text.h"
#include "weights_tools/io/file.h"
#include "weights_tools/io/sha256.h"

namespace atrous {

namespace {

constexpr std::size_t images_ahead = 4, images_behind = 2;
constexpr std::size_t large_ahead = 1;  // and behind: of pictures that are seen in tiles
constexpr Colour white{255, 255, 255};

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// A picture that is read row by row.
struct PngFile {
  InputFile file;
  PngRows rows;
  explicit PngFile(const std::string& path) : file(path), rows(file, path) {}
};

// What somebody will look at of a picture too large to be kept.
struct ReducedPictures {
  ReducedPhoto photo;
  ReducedLabels truth, prediction;
  ReducedPictures(int width, int height, int factor)
      : photo(width, height, factor), truth(width, height, factor), prediction(width, height, factor) {}
};

// Thrown through segment_tiled(): no more rows are wanted.
struct EndOfPicture {};

// One image on its way.
struct Job {
  std::size_t index = 0;
  std::exception_ptr error;  // what went wrong, at whichever step
  std::vector<std::byte> file;
  Image photo;    // only where somebody will look at it
  Image picture;  // at the network's input size
  LabelMap truth, prediction, sharpened;
  LabelForm form = LabelForm::indices;
  bool other_order = false;
  std::array<bool, 3> seen{};  // in the truth: 0, 1 and `undecided`
  Tensor logits;               // the low-resolution map
  Growth growth = {};          // into the truth's size
  // Of tiles, in place of the photo, picture, prediction and logits, and of the truth's labels: rows, as they
  // are needed, and what they came to, with the undecided pixels left out and as class 1.
  std::unique_ptr<PngFile> rows;
  std::unique_ptr<TruthRows> truth_rows;
  std::unique_ptr<ReducedPictures> reduced;
  std::optional<ImageCounts> counted, alone;
  bool abandoned = false;  // the run was stopped before the last row
  double network_seconds = 0;
};

class Run {
 public:
  Run(const Predictor& predictor, const Dataset& dataset, const EvaluateOptions& options,
      const EvaluateCallbacks& callbacks);
  Evaluation run();

 private:
  void run_all();
  Job decode(std::size_t place);
  void decode(Job&) const;
  void segment(Job&);
  void segment_by_protocol(Job&);
  void segment_by_tiles(Job&);
  bool is_stopped();
  void score(Job&);
  bool goes_by_rows(int width, int height) const;
  std::unique_ptr<PngFile> png_by_rows(const std::string& path) const;
  LabelMap decided(const LabelMap& truth) const;
  LabelMap undecided_alone(LabelMap truth) const;
  bool counts_undecided(const Job&) const;
  void add(const Job&, const LabelMap& truth, ImageCounts&) const;
  ImageCounts no_counts() const;
  void add_score(const Job&, ImageCounts&) const;
  void take(EvaluatedImage&&);
  void decode_prediction(Job&) const;
  void read_truth_of(Job&, int width, int height) const;
  void survey(Job&) const;
  LabelMap truth_of(Job&, const LabelRows&) const;
  void keep_shown(Job&, const LabelRows&, const LabelMap& truth) const;
  LabelMap read_one_truth(Job&) const;
  LabelMap read_prediction(const Job&) const;
  void look_ahead();
  void tell(const Job&, const std::string* failure);
  void show(Job&) const;
  RunIdentity identity() const;
  std::size_t done() const { return result_.images.size() + result_.failed.size(); }
  const DatasetSample& sample(const Job& job) const { return dataset_.samples[job.index]; }
  void check_input(const std::string& photo, int width, int height) const;

  const Predictor predictor_;
  const Dataset& dataset_;
  const EvaluateOptions& options_;
  const EvaluateCallbacks& callbacks_;
  const Comparison comparison_;
  std::vector<std::string> names_;
  const std::size_t size_;                // of the shard
  std::size_t first_ = 0;                 // the first of its images that is not in the state
  std::vector<std::string> predictions_;  // a path for each sample, where there is no model
  Evaluation result_;
  std::optional<Session> session_;
  bool shown_as_binary_ = false, stopped_ = false;
  std::optional<Journal> journal_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point taken_ = start_;  // the image before
  double seconds_before_ = 0;         // of earlier runs
};

// `truth`: what has a width and a height.
template <class Truth>
void check_truth(const DatasetSample& s, const Truth& truth, int width, int height) {
  if (truth.width != width || truth.height != height)
    fail(ErrorCode::malformed, s.label, ": expected labels of ", width, "x", height,
         " as the photo has, found ", truth.width, "x", truth.height);
}

std::string size_text(const ResizeRule& rule, bool at_original) {
  const bool resized = rule.kind != ResizeRule::Kind::none;
  return at_original ? "the photos' own size" : in_words(rule) + (resized ? ", labels by nearest" : "");
}

Evaluation empty_evaluation(const Predictor& predictor, const Comparison& comparison,
                            const EvaluateOptions& options) {
  Evaluation e;
  e.model = options.model;
  e.architecture = predictor.model ? predictor.model->architecture : "label maps";
  e.dataset = options.dataset;
  e.size = predictor.model ? size_text(comparison.preparation.resize, options.at_original)
                           : "the label maps' own size";
  if (predictor.model) e.input = in_words(comparison.preparation);
  e.colours = comparison.colours.source;
  e.classes = predictor.classes;
  if (comparison.classes > comparison.model_classes) e.classes.emplace_back("void");
  e.palette = evaluation_palette(predictor.classes, predictor.palette, options.void_class);
  e.confusion = ConfusionMatrix(comparison.classes);
  if (options.scores && predictor.model) e.scores = ScoreHistogram(comparison.model_classes);
  e.protocol = options.protocol;
  e.tiling = options.tiling;
  if (options.crf) e.sharpened = {*options.crf, ConfusionMatrix(comparison.classes)};
  if (comparison.binary) {
    e.binary.emplace();
    e.binary->scores = e.scores;
  }
  return e;
}

Run::Run(const Predictor& predictor, const Dataset& dataset, const EvaluateOptions& options,
         const EvaluateCallbacks& callbacks)
    : predictor_(predictor),
      dataset_(dataset),
      options_(options),
      callbacks_(callbacks),
      comparison_(make_comparison(predictor, dataset, options)),
      size_(options.shard.size(dataset.samples.size())),
      result_(empty_evaluation(predictor, comparison_, options)) {
  if (options.protocol) check(*options.protocol);
  if (options.tiling) check(*options.tiling);
  if (options.tiling && (options.crf || options.protocol))
    fail(ErrorCode::invalid_argument, "evaluation: tiles go with neither a CRF nor a test protocol");
  if (dataset.samples.empty()) fail(ErrorCode::invalid_argument, "evaluation: the dataset has no images");
  if (predictor.model) session_.emplace(predictor.model->program, options.session);
  if (predictor.predictions) predictions_ = list_predictions(*predictor.predictions, dataset);
  for (const DatasetSample& s : dataset.samples) names_.push_back(s.name);
  if (options.state.empty()) return;
  const EvaluationReader reader{{options.state}};
  const Evaluation empty = result_;
  const JournalHead head = evaluation_head(empty, identity(), options.shard, names_.size());
  journal_.emplace(options.state, head, [&](const Json& record) {
    EvaluatedImage image = reader.image(record, empty);
    if (done() == size_) reader.refuse("counts more than the ", size_, " images of its shard");
    if (const std::string& name = names_[options.shard.at(done())]; image.name != name)
      reader.refuse("has image ", printable(image.name), " in the place of ", printable(name));
    seconds_before_ += image.seconds;
    add_counts(result_, image);
    add_image(result_, std::move(image));
  });
  first_ = done();
}

RunIdentity Run::identity() const {
  const auto digest = [](const std::string& s) { return sha256_of_bytes(std::as_bytes(std::span(s))); };
  std::string names, lookup, colours;
  for (const Colour& c : comparison_.colours.palette)
    colours += str_cat(int{c[0]}, ' ', int{c[1]}, ' ', int{c[2]}, '\n');
  for (const std::string& name : names_) names += name + '\n';
  for (std::size_t raw = 0; raw < comparison_.map.to.size(); ++raw)
    lookup += comparison_.map.known[raw] ? str_cat(int{comparison_.map.to[raw]}, ' ') : "- ";
  RunIdentity all = options_.identity;
  all.insert(all.end(),
             {{"samples", str_cat(names_.size(), ", sha256 ", digest(names))},
              {"network input", size_text(comparison_.preparation.resize, false)},
              {"compared at", options_.at_original ? "original" : "input"},
              {"scores", result_.scores.classes > 0 ? "yes" : "no"},
              {"void", options_.void_class ? str_cat("class ", comparison_.void_index) : "left out"},
              {"ignored label", str_cat(dataset_.ignore)},
              {"masks of 0 and 255", comparison_.binary ? "may be binary" : "as any other"},
              {"label colours", "sha256 " + digest(colours)},
              {"EXIF orientation", options_.exif ? "applied" : "ignored"},
              {"class map", "sha256 " + digest(lookup)}});
  if (predictor_.model)
    all.insert(all.end(), {{"device", predictor_.model->program->runs_on()},
                           {"precision", std::string(predictor_.model->program->precision())}});
  if (predictor_.model && predictor_.model->answer().decision == Decision::sigmoid)
    all.emplace_back("threshold", str_cat("logit ", comparison_.threshold));
  if (options_.crf) all.emplace_back("CRF", in_words(*options_.crf));
  if (options_.protocol) all.emplace_back("test protocol", in_words(*options_.protocol));
  if (options_.tiling) all.emplace_back("tiles", in_words(*options_.tiling));
  // torchvision's way is not written down, so that states of earlier versions hold.
  if (const std::string input = in_words(comparison_.preparation); input != in_words(Preparation{}))
    all.emplace_back("normalisation", input);
  return all;
}

// ---- the decode thread

Job Run::decode(std::size_t place) {
  if (place == first_ && comparison_.binary && callbacks_.image) look_ahead();
  Job job;
  job.index = options_.shard.at(place);
  attempt(job.error, "", [&] { decode(job); });
  return job;
}

// The network's input alone would not fit: known before the photo is brought to that size.
void Run::check_input(const std::string& photo, int width, int height) const {
  const std::int64_t bytes = checked_product({width, height, 3, sizeof(float)}, "network input");
  const std::size_t limit = options_.session.memory_limit;
  if (limit > 0 && static_cast<std::uint64_t>(bytes) > limit)
    fail(ErrorCode::limit, photo, ": the network's input of ", width, "x", height, " needs ", bytes,
         " bytes, over the limit of ", limit);
}

// Pictures of the truth are drawn while the run goes on, when which reading of 255 holds is not known yet:
// all label maps are read once before. Those that are broken will be found again.
void Run::look_ahead() {
  std::array<bool, 3> seen{};
  for (std::size_t i = 0; i < dataset_.samples.size() && !seen[1]; ++i) {
    Job job;
    job.index = i;
    attempt(job.error, "", [&] {
      if (options_.tiling) job.truth_rows = TruthRows::open(dataset_, sample(job));
      if (job.truth_rows)
        survey(job);
      else
        read_one_truth(job);
    });
    for (std::size_t label = 0; label < seen.size(); ++label) seen[label] = seen[label] || job.seen[label];
  }
  shown_as_binary_ = seen[0] && !seen[1] && seen[undecided];
}

// Whether a picture of this size is seen in several tiles, and nobody will look at all of its pixels.
bool Run::goes_by_rows(int width, int height) const {
  return options_.tiling && !fits_one_tile(*options_.tiling, width, height) &&
         (!callbacks_.image || std::max(width, height) > most_shown_side);
}

// Where the photo is a large PNG whose rows come as they are, from the top.
std::unique_ptr<PngFile> Run::png_by_rows(const std::string& path) const {
  if (!options_.tiling || !PngRows::is_png(InputFile(path))) return nullptr;
  auto file = std::make_unique<PngFile>(path);
  const PngRows& rows = file->rows;
  const bool turned = options_.exif && rows.orientation() != 1;
  if (rows.is_interlaced() || turned || !goes_by_rows(rows.width(), rows.height())) return nullptr;
  return file;
}

LabelMap Run::read_one_truth(Job& job) const {
  ReadLabels labels = read_truth(dataset_, sample(job), comparison_.colours);
  job.form = labels.form;
  job.other_order = labels.other_order;
  LabelMap truth = map_truth(std::move(labels.map), comparison_, sample(job));
  if (comparison_.binary)
    for (const std::uint8_t label : truth.labels)
      if (label < job.seen.size()) job.seen[label] = true;
  return truth;
}

LabelMap Run::read_prediction(const Job& job) const {
  ReadLabels labels = read_labels_file(predictions_[job.index], comparison_.colours);
  std::vector<std::uint8_t>& all = labels.map.labels;
  // Colours of the dataset's classes; indices are those compared.
  if (labels.form != LabelForm::indices && !dataset_.label_colours.palette.empty())
    for (std::uint8_t& label : all) label = comparison_.map.to[label];
  if (comparison_.classes == 2 && std::ranges::find(all, std::uint8_t{1}) == all.end())
    std::ranges::replace(all, std::uint8_t{255}, std::uint8_t{1});
  return std::move(labels.map);
}

void Run::survey(Job& job) const {
  TruthRows& truth = *job.truth_rows;
  truth.survey(dataset_, comparison_);
  job.form = truth.form();
  job.other_order = truth.other_order();
  if (comparison_.binary)
    for (std::size_t label = 0; label < job.seen.size(); ++label)
      job.seen[label] = truth.has(static_cast<std::uint8_t>(label));
}

// Of a photo so large, which sizes in the heads are compared with first.
void Run::read_truth_of(Job& job, int width, int height) const {
  const DatasetSample& s = sample(job);
  if (goes_by_rows(width, height)) job.truth_rows = TruthRows::open(dataset_, s);
  if (!job.truth_rows) {
    job.truth = read_one_truth(job);
    return check_truth(s, job.truth, width, height);
  }
  job.truth = {job.truth_rows->width(), job.truth_rows->height(), {}};
  check_truth(s, job.truth, width, height);
  survey(job);
}

void Run::decode_prediction(Job& job) const {
  const DatasetSample& s = sample(job);
  job.truth = read_one_truth(job);
  job.prediction = read_prediction(job);
  if (job.truth.width != job.prediction.width || job.truth.height != job.prediction.height)
    fail(ErrorCode::malformed, predictions_[job.index], ": expected labels of ", job.truth.width, "x",
         job.truth.height, " as the truth has, found ", job.prediction.width, "x", job.prediction.height);
  if (!callbacks_.image) return;
  job.file = read_file(s.photo, ReadOptions().max_file_bytes);
  job.photo = read_image(job.file, s.photo, {.exif = options_.exif});
}

void Run::decode(Job& job) const {
  if (predictor_.predictions) return decode_prediction(job);
  const DatasetSample& s = sample(job);
  const ResizeRule& rule = comparison_.preparation.resize;
  const ReadOptions how{.exif = options_.exif};
  job.rows = png_by_rows(s.photo);
  if (!job.rows) {
    job.file = read_file(s.photo, how.max_file_bytes);
    job.photo = read_image(job.file, s.photo, how);
  }
  const int photo_width = job.rows ? job.rows->rows.width() : job.photo.width,
            photo_height = job.rows ? job.rows->rows.height() : job.photo.height;
  read_truth_of(job, photo_width, photo_height);
  if (goes_by_rows(photo_width, photo_height)) {
    if (callbacks_.image)
      job.reduced = std::make_unique<ReducedPictures>(
          photo_width, photo_height, reduction_to(most_shown_side, photo_width, photo_height));
    job.picture = std::move(job.photo);
    job.photo = {};
    job.file = {};
    return;
  }
  const auto [width, height] = resized_size(rule, job.photo.width, job.photo.height);
  check_input(s.photo, width, height);
  job.picture = apply(rule, job.photo, 1);
  if (!options_.at_original) {
    if (width != job.truth.width || height != job.truth.height)
      job.truth = resize_nearest(job.truth, width, height);
    if (rule.center_crop > 0) job.truth = crop_truth(std::move(job.truth), rule.center_crop);
  }
  if (callbacks_.image) return;
  job.file = {};
  if (!options_.crf || !options_.at_original) job.photo = {};
}

// ---- the caller's thread

void Run::segment(Job& job) {
  const auto start = Clock::now();
  const Model& model = *predictor_.model;
  if (options_.protocol && !is_single_run(*options_.protocol)) return segment_by_protocol(job);
  if (job.rows ||
      (options_.tiling && !fits_one_tile(*options_.tiling, job.picture.width, job.picture.height)))
    return segment_by_tiles(job);
  if (options_.crf) session_->set_aside(sharp_label_bytes(model, job.truth.height, job.truth.width));
  session_->run(job.picture, comparison_.preparation);
  job.network_seconds = seconds_since(start);
  job.prediction =
      label(*session_, 0, job.truth.height, job.truth.width, nullptr, "out", comparison_.threshold);
  if (options_.crf)
    job.sharpened = sharp_label(*session_, model, 0, options_.at_original ? job.photo : job.picture,
                                *options_.crf, nullptr, "out", options_.threshold);
  if (!options_.scores) return;
  job.growth = session_->growth(job.truth.height, job.truth.width);
  const ConstView low = session_->output();  // only until the next run
  job.logits = Tensor(low.shape);
  for (std::int64_t p = 0; p < low.shape.pixels(); ++p)
    std::copy_n(low.data + p * low.pitch, low.shape.c, job.logits.data() + p * low.shape.c);
}

// The probabilities go to the scoring thread as logits: their logarithms, of which they are the softmax.
void Run::segment_by_protocol(Job& job) {
  const auto start = Clock::now();
  const Model& model = *predictor_.model;
  const TestProtocol& protocol = *options_.protocol;
  const PixelSize size{job.truth.width, job.truth.height};
  session_->set_aside(std::max(protocol_bytes(protocol, model, {job.picture.width, job.picture.height}, size),
                               options_.crf ? sharp_label_bytes(model, size.height, size.width) : 0));
  Tensor p = protocol_probabilities(*session_, model, job.picture, comparison_.preparation, size, protocol);
  job.network_seconds = seconds_since(start);
  job.prediction = label(model, p.view(), options_.threshold, nullptr);
  if (options_.scores) {
    job.growth = {.align_corners = false,
                  .out_h = static_cast<double>(size.height),
                  .out_w = static_cast<double>(size.width)};
    job.logits = Tensor(p.shape());
    std::ranges::transform(p.values(), job.logits.data(), [](float value) {
      return std::log(std::max(value, std::numeric_limits<float>::min()));
    });
  }
  if (!options_.crf) return;
  sharpen(*session_, options_.at_original ? job.photo : job.picture, p.view(), false, *options_.crf);
  job.sharpened = label(model, p.view(), options_.threshold, nullptr);
}

bool Run::is_stopped() {
  stopped_ = stopped_ || (callbacks_.stop && call_host(callbacks_.stop));
  return stopped_;
}

// The truth of rows that were just made.
LabelMap Run::truth_of(Job& job, const LabelRows& rows) const {
  if (job.truth_rows) return job.truth_rows->read(rows.labels.height);
  const std::uint8_t* const first = job.truth.row(rows.y);
  return {rows.labels.width, rows.labels.height, {first, first + rows.labels.labels.size()}};
}

void Run::keep_shown(Job& job, const LabelRows& rows, const LabelMap& truth) const {
  if (job.reduced) {
    job.reduced->photo.add(rows.photo);
    job.reduced->truth.add(truth);
    job.reduced->prediction.add(rows.labels);
  } else if (callbacks_.image) {
    job.prediction.labels.insert(job.prediction.labels.end(), rows.labels.labels.begin(),
                                 rows.labels.labels.end());
  }
}

// Rows are counted as they are made: neither their logits nor, where nobody looks at them, the picture and
// its labels are in memory at once.
void Run::segment_by_tiles(Job& job) {
  const auto start = Clock::now();
  const bool both = counts_undecided(job);
  job.counted = no_counts();
  if (both) job.alone = no_counts();
  RowSource source = rows_of(job.picture);
  std::exception_ptr unread, error;  // of rows, which name their file already; of counting
  if (job.rows)
    source = {job.rows->rows.width(), job.rows->rows.height(), [&](std::span<std::uint8_t> to) {
                try {
                  job.rows->rows.read(to);
                } catch (...) {
                  unread = std::current_exception();
                  throw;
                }
              }};
  const auto count = [&](const LabelRows& rows, const LabelMap& truth, ImageCounts& counts) {
    counts.confusion.add(truth, rows.labels, ClassMap::void_label);
    if (counts.scores.classes > 0)
      add_scores(counts.scores, rows.logits, truth, ClassMap::void_label, session_->threads());
  };
  const auto take = [&](const LabelRows& rows) {
    if (is_stopped()) throw EndOfPicture{};
    LabelMap truth;
    attempt(unread, "", [&] { truth = truth_of(job, rows); });
    if (unread) throw EndOfPicture{};
    attempt(error, "", [&] {
      count(rows, decided(truth), *job.counted);
      if (both) count(rows, undecided_alone(truth), *job.alone);
      keep_shown(job, rows, truth);
    });
    if (error) throw EndOfPicture{};
  };
  job.prediction = {source.width, source.height, {}};
  try {
    segment_tiled(*session_, *predictor_.model, source,
                  {.tiling = *options_.tiling,
                   .confidence = false,
                   .threshold = options_.threshold,
                   .logits = result_.scores.classes > 0},
                  take);
  } catch (const EndOfPicture&) {
    if (error) std::rethrow_exception(error);
    job.error = unread;
    job.abandoned = !unread;
    return;
  } catch (...) {
    if (!unread) throw;
    job.error = unread;
    return;
  }
  job.rows.reset();
  job.truth_rows.reset();
  job.network_seconds = seconds_since(start);
}

// ---- the scoring thread

// Of a binary truth, where pixels may be undecided.
LabelMap Run::decided(const LabelMap& truth) const {
  return comparison_.binary ? relabelled(truth, undecided, ClassMap::void_label) : truth;
}
bool Run::counts_undecided(const Job& job) const {
  return comparison_.binary && !job.seen[1] && job.seen[undecided];
}
// The undecided pixels, as class 1.
LabelMap Run::undecided_alone(LabelMap truth) const {
  for (std::uint8_t& label : truth.labels) label = label == undecided ? 1 : ClassMap::void_label;
  return truth;
}

void Run::add(const Job& job, const LabelMap& truth, ImageCounts& counts) const {
  counts.confusion.add(truth, job.prediction, ClassMap::void_label);
  if (options_.crf) counts.sharpened.add(truth, job.sharpened, ClassMap::void_label);
  if (counts.scores.classes > 0)
    add_upsampled_scores(counts.scores, job.logits.view(), job.growth, truth, ClassMap::void_label);
}

ImageCounts Run::no_counts() const {
  ImageCounts counts{{}, ConfusionMatrix(comparison_.classes), {}, ConfusionMatrix(comparison_.classes)};
  if (result_.scores.classes > 0) counts.scores = ScoreHistogram(comparison_.model_classes);
  return counts;
}

void Run::score(Job& job) {
  if (job.abandoned) return;
  EvaluatedImage image;
  image.name = names_[job.index];
  image.seen = job.seen;
  attempt(job.error, predictions_.empty() ? sample(job).label : predictions_[job.index], [&] {
    image.counts = job.counted ? std::move(*job.counted) : no_counts();
    if (!job.counted) add(job, decided(job.truth), image.counts);
    add_score(job, image.counts);
    if (!result_.binary || !counts_undecided(job)) return;
    ImageCounts& foreground = image.foreground.emplace(job.alone ? std::move(*job.alone) : no_counts());
    if (!job.alone) add(job, undecided_alone(job.truth), foreground);
    foreground.confusion.add(image.counts.confusion);
    foreground.sharpened.add(image.counts.sharpened);
    if (foreground.scores.classes > 0) foreground.scores.add(image.counts.scores);
    add_score(job, foreground);
  });
  if (job.error) {
    if (options_.strict) std::rethrow_exception(job.error);
    const std::string sentence = failure_sentence(job.error, sample(job).photo);
    image.foreground.reset();
    image.failed = sentence;
    take(std::move(image));
    return tell(job, &sentence);
  }
  show(job);
  image.forms = {job.form == LabelForm::colours, job.form == LabelForm::renumbered, job.other_order};
  take(std::move(image));
  tell(job, nullptr);
}

void Run::add_score(const Job& job, ImageCounts& counts) const {
  ImageScore& score = counts.score;
  score = score_image(names_[job.index], job.truth.width, job.truth.height, counts.confusion,
                      counts.scores.classes > 0 ? &counts.scores : nullptr);
  if (comparison_.classes == 1) {  // nothing could be wrong
    score.pixel_accuracy = score.mean_iou = score.mean_dice = score.cross_entropy = std::nullopt;
    score.iou.clear();
  }
  score.seconds = job.network_seconds;
}

// First the journal: where memory gives out behind it, the next run finds the image there.
void Run::take(EvaluatedImage&& image) {
  const Clock::time_point now = Clock::now();
  image.seconds = std::chrono::duration<double>(now - std::exchange(taken_, now)).count();
  if (journal_) journal_->append(evaluation_record(image));
  add_counts(result_, image);
  add_image(result_, std::move(image));
}

void Run::show(Job& job) const {
  if (!callbacks_.image) return;
  if (job.reduced) {
    job.photo = job.reduced->photo.picture();
    job.truth = job.reduced->truth.map();
    job.prediction = job.reduced->prediction.map();
  }
  if (comparison_.binary)
    job.truth = relabelled(std::move(job.truth), undecided, shown_as_binary_ ? 1 : ClassMap::void_label);
  call_host(callbacks_.image, ScoredImage{.name = names_[job.index],
                                          .photo_file = job.file,
                                          .photo = job.photo,
                                          .truth = job.truth,
                                          .prediction = job.prediction,
                                          .ignore = ClassMap::void_label});
}

void Run::tell(const Job& job, const std::string* failure) {
  if (!callbacks_.progress) return;
  call_host(callbacks_.progress, EvaluateProgress{.done = done(),
                                                  .all = size_,
                                                  .done_here = done() - first_,
                                                  .seconds = seconds_since(start_),
                                                  .name = names_[job.index],
                                                  .failure = failure});
}

// ---- all of it

void Run::run_all() {
  PipelineSteps<Job> steps;
  steps.prepare = [this](std::size_t index) { return decode(index); };
  if (session_)
    steps.run = [this](Job& job) { attempt(job.error, sample(job).photo, [&] { segment(job); }); };
  steps.finish = [this](Job& job) { score(job); };
  steps.stop = [this] { return is_stopped(); };
  run_pipeline({.first = first_,
                .last = size_,
                .threads = 1,
                .ahead = options_.tiling ? large_ahead : images_ahead,
                .behind = options_.tiling ? large_ahead : images_behind},
               steps);
}

Evaluation Run::run() {
  run_all();
  if (journal_) journal_->sync();
  result_.seconds = seconds_before_ + seconds_since(start_);
  settle_binary(result_);
  if (options_.shard.count == 1 && done() == size_) expect_images(result_);
  return std::move(result_);
}

}  // namespace

void take_names(Model& model, const Dataset& dataset) try {
  for (std::size_t c = 0; c < model.classes.size(); ++c)
    if (!is_unnamed(model.classes[c], c)) return;
  std::vector<std::string> names = dataset.classes;
  Palette palette = dataset.palette;
  if (palette.size() != names.size()) palette.clear();
  if (names.size() != model.classes.size())
    for (std::size_t i = names.size(); i-- > 0;)
      if (means_void(names[i])) {
        names.erase(names.begin() + static_cast<std::ptrdiff_t>(i));
        if (!palette.empty()) palette.erase(palette.begin() + static_cast<std::ptrdiff_t>(i));
      }
  if (names.size() != model.classes.size()) return;
  model.classes = std::move(names);
  if (!palette.empty()) model.palette = std::move(palette);
} catch (...) {
  rethrow_as_error();
}

Palette evaluation_palette(const std::vector<std::string>& classes, Palette palette, bool void_class) try {
  if (void_class && std::ranges::find(classes, "void") == classes.end()) palette.push_back(white);
  return palette;
} catch (...) {
  rethrow_as_error();
}

Evaluation evaluate(const Model& model, const Dataset& dataset, const EvaluateOptions& options,
                    const EvaluateCallbacks& callbacks) try {
  return Run({.classes = model.classes, .palette = model.palette, .model = &model}, dataset, options,
             callbacks)
      .run();
} catch (...) {
  rethrow_as_error();
}

Evaluation evaluate(const Predictions& predictions, const Dataset& dataset, const EvaluateOptions& options,
                    const EvaluateCallbacks& callbacks) try {
  return Run({.classes = predictions.classes, .palette = predictions.palette, .predictions = &predictions},
             dataset, options, callbacks)
      .run();
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
