#include "runtime/evaluation/evaluate.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <filesystem>
#include <thread>

#include "layers/base/checked.h"
#include "layers/base/error.h"
#include "layers/base/visible_text.h"
#include "runtime/evaluation/bounded_queue.h"
#include "runtime/evaluation/upsampled_scores.h"
#include "runtime/image/image_read.h"
#include "runtime/image/label_read.h"
#include "runtime/image/pillow_resize.h"
#include "runtime/image/preprocess.h"
#include "runtime/segment/segmenter.h"
#include "weights_tools/io/file.h"
#include "weights_tools/io/sha256.h"

namespace atrous {

namespace {

constexpr std::size_t images_ahead = 3, images_behind = 2;
constexpr Colour white{255, 255, 255};

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// How truth is made comparable.
struct Comparison {
  int model_classes = 0, classes = 0;  // with void, where it is one of its own
  int void_index = ClassMap::void_label;
  ClassMap map;
  Preprocessing preprocessing;
};

Comparison make_comparison(const Model& model, const Dataset& dataset, const EvaluateOptions& options) {
  Comparison c;
  c.preprocessing = model.preprocessing;
  if (options.resize) c.preprocessing.resize = *options.resize;
  const int side = c.preprocessing.resize.center_crop;
  if (options.at_original && side > 0)
    fail(ErrorCode::invalid_argument, "evaluation: a centre crop of ", side,
         " cannot be compared at the photos' own size");
  c.map = options.classes ? *options.classes : default_class_map(dataset.classes, model.classes);
  c.model_classes = c.classes = static_cast<int>(model.classes.size());
  if (options.void_class) {
    const auto own = std::ranges::find(model.classes, "void");
    c.void_index = static_cast<int>(own - model.classes.begin());
    c.classes += own == model.classes.end();
  }
  if (c.classes > ClassMap::void_label)
    fail(ErrorCode::limit, "evaluation: ", c.classes,
         " classes with void leave no label for what is left out, at most ", ClassMap::void_label, " do");
  return c;
}

// One image on its way.
struct Job {
  std::size_t index = 0;
  std::exception_ptr error;  // what went wrong, at whichever step
  std::vector<std::byte> file;
  Image photo;    // only where somebody will look at it
  Image picture;  // at the network's input size
  LabelMap truth, prediction;
  Tensor logits;  // the low-resolution map
  double network_seconds = 0;
};

// Does a step; `file` is put before sentences that do not say yet what they are about.
template <class Step>
void name_failure(const std::string& file, Step&& step) {
  try {
    step();
  } catch (const Error& error) {
    if (file.empty()) throw;
    fail(error.code(), visible(file), ": ", error.what());
  }
}

// Does one step of an image; after an error there are no more. Throws nothing, out of memory or not.
template <class Step>
void attempt(Job& job, const std::string& file, Step&& step) {
  if (job.error) return;
  try {
    name_failure(file, step);
  } catch (...) {
    job.error = std::current_exception();
  }
}

LabelMap map_truth(LabelMap truth, const Comparison& comparison, int ignore, const DatasetSample& sample) {
  truth = apply(comparison.map, std::move(truth), ignore, sample.label);
  if (comparison.void_index != ClassMap::void_label)
    std::ranges::replace(truth.labels, std::uint8_t{ClassMap::void_label},
                         static_cast<std::uint8_t>(comparison.void_index));
  return truth;
}

// What lies outside the picture is void.
LabelMap crop(LabelMap truth, int side) {
  const Image everywhere{truth.width, truth.height, 1,
                         std::vector<std::uint8_t>(truth.labels.size(), std::uint8_t{1})};
  const Image inside = center_crop(everywhere, side);
  Image cut = center_crop({truth.width, truth.height, 1, std::move(truth.labels)}, side);
  for (std::size_t p = 0; p < cut.pixels.size(); ++p)
    if (inside.pixels[p] == 0) cut.pixels[p] = ClassMap::void_label;
  return {side, side, std::move(cut.pixels)};
}

class Run {
 public:
  Run(const Model& model, const Dataset& dataset, const EvaluateOptions& options,
      const EvaluateCallbacks& callbacks);
  Evaluation run();

 private:
  void decode();
  void decode_one(Job&) const;
  void segment_all();
  void segment_one(Job&);
  void score();
  void score_one(Job&);
  void count(const Job&, const ConfusionMatrix&, const ScoreHistogram&);
  void take_failure(const Job&);
  void tell(const Job&, const std::string* failure);
  void show(const Job&) const;
  void save();
  RunIdentity identity() const;
  std::size_t done() const { return result_.images.size() + result_.failed.size(); }
  const DatasetSample& sample(const Job& job) const { return dataset_.samples[job.index]; }
  void check_input(const std::string& photo, int width, int height) const;

  const Model& model_;
  const Dataset& dataset_;
  const EvaluateOptions& options_;
  const EvaluateCallbacks& callbacks_;
  const Comparison comparison_;
  std::vector<std::string> names_;
  std::size_t first_ = 0;  // the first sample that is not in the state
  Evaluation result_;
  Session session_;
  BoundedQueue<Job> decoded_{images_ahead}, segmented_{images_behind};
  std::exception_ptr decoding_failure_, scoring_failure_;  // what ended a thread before its time
  const Clock::time_point start_ = Clock::now();
  Clock::time_point saved_ = Clock::now();
  double seconds_before_ = 0;  // of earlier runs
};

std::string size_text(const ResizeRule& rule, bool at_original) {
  const bool resized = rule.kind != ResizeRule::Kind::none;
  return at_original ? "the photos' own size" : in_words(rule) + (resized ? ", labels by nearest" : "");
}

Evaluation empty_evaluation(const Model& model, const Comparison& comparison,
                            const EvaluateOptions& options) {
  Evaluation e;
  e.model = options.model;
  e.architecture = model.architecture;
  e.dataset = options.dataset;
  e.size = size_text(comparison.preprocessing.resize, options.at_original);
  e.input = in_words(comparison.preprocessing);
  e.classes = model.classes;
  if (comparison.classes > comparison.model_classes) e.classes.emplace_back("void");
  e.palette = evaluation_palette(model, options.void_class);
  e.confusion = ConfusionMatrix(comparison.classes);
  if (options.scores) e.scores = ScoreHistogram(comparison.model_classes);
  return e;
}

Run::Run(const Model& model, const Dataset& dataset, const EvaluateOptions& options,
         const EvaluateCallbacks& callbacks)
    : model_(model),
      dataset_(dataset),
      options_(options),
      callbacks_(callbacks),
      comparison_(make_comparison(model, dataset, options)),
      result_(empty_evaluation(model, comparison_, options)),
      session_(model.program, options.session) {
  if (dataset.samples.empty()) fail(ErrorCode::invalid_argument, "evaluation: the dataset has no images");
  for (const DatasetSample& s : dataset.samples) names_.push_back(s.name);
  std::error_code ignored;
  if (!options.state.empty() && std::filesystem::exists(options.state, ignored))
    load_evaluation(options.state, identity(), names_, result_);
  first_ = done();
  seconds_before_ = result_.seconds;
}

RunIdentity Run::identity() const {
  const auto digest = [](const std::string& s) { return sha256_of_bytes(std::as_bytes(std::span(s))); };
  std::string names, lookup;
  for (const std::string& name : names_) names += name + '\n';
  for (std::size_t raw = 0; raw < comparison_.map.to.size(); ++raw)
    lookup += comparison_.map.known[raw] ? text(int{comparison_.map.to[raw]}, ' ') : "- ";
  RunIdentity all = options_.identity;
  all.insert(all.end(), {{"samples", text(names_.size(), ", sha256 ", digest(names))},
                         {"network input", size_text(comparison_.preprocessing.resize, false)},
                         {"compared at", options_.at_original ? "original" : "input"},
                         {"scores", options_.scores ? "yes" : "no"},
                         {"void", options_.void_class ? text("class ", comparison_.void_index) : "left out"},
                         {"ignored label", text(dataset_.ignore)},
                         {"EXIF orientation", options_.exif ? "applied" : "ignored"},
                         {"class map", "sha256 " + digest(lookup)},
                         {"device", model_.program->runs_on()},
                         {"precision", std::string(model_.program->precision())}});
  // torchvision's way is not written down, so that states of earlier versions hold.
  if (const std::string input = in_words(comparison_.preprocessing); input != in_words(Preprocessing{}))
    all.emplace_back("normalisation", input);
  return all;
}

// ---- the decode thread

void Run::decode() {
  try {
    for (std::size_t i = first_; i < dataset_.samples.size(); ++i) {
      Job job;
      job.index = i;
      attempt(job, "", [&] { decode_one(job); });
      if (!decoded_.push(std::move(job))) return;
    }
    decoded_.end();
  } catch (...) {
    decoding_failure_ = std::current_exception();
    decoded_.abandon();
  }
}

// The network's input alone would not fit: known before the photo is brought to that size.
void Run::check_input(const std::string& photo, int width, int height) const {
  const std::int64_t bytes = checked_product({width, height, 3, sizeof(float)}, "network input");
  const std::size_t limit = options_.session.memory_limit;
  if (limit > 0 && static_cast<std::uint64_t>(bytes) > limit)
    fail(ErrorCode::limit, photo, ": the network's input of ", width, "x", height, " needs ", bytes,
         " bytes, over the limit of ", limit);
}

void Run::decode_one(Job& job) const {
  const DatasetSample& s = sample(job);
  const ResizeRule& rule = comparison_.preprocessing.resize;
  const ReadOptions how{.exif = options_.exif};
  job.file = read_file(s.photo, how.max_file_bytes);
  job.photo = read_image(job.file, s.photo, how);
  job.truth = map_truth(dataset_.truth(s), comparison_, dataset_.ignore, s);
  if (job.truth.width != job.photo.width || job.truth.height != job.photo.height)
    fail(ErrorCode::malformed, s.label, ": expected labels of ", job.photo.width, "x", job.photo.height,
         " as the photo has, found ", job.truth.width, "x", job.truth.height);
  const auto [width, height] = resized_size(rule, job.photo.width, job.photo.height);
  check_input(s.photo, width, height);
  job.picture = apply(rule, job.photo, 1);
  if (!options_.at_original) {
    if (width != job.truth.width || height != job.truth.height)
      job.truth = resize_nearest(job.truth, width, height);
    if (rule.center_crop > 0) job.truth = crop(std::move(job.truth), rule.center_crop);
  }
  if (callbacks_.image) return;
  job.file = {};
  job.photo = {};
}

// ---- the caller's thread

void Run::segment_all() {
  while (!callbacks_.stop || !callbacks_.stop()) {
    std::optional<Job> job = decoded_.pop();
    if (!job) break;
    attempt(*job, sample(*job).photo, [&] { segment_one(*job); });
    if (!segmented_.push(std::move(*job))) break;
  }
}

void Run::segment_one(Job& job) {
  const auto start = Clock::now();
  session_.run(job.picture, comparison_.preprocessing);
  job.network_seconds = seconds_since(start);
  job.prediction = label(session_, 0, job.truth.height, job.truth.width, nullptr);
  if (!options_.scores) return;
  const ConstView low = session_.output();  // only until the next run
  job.logits = Tensor(low.shape);
  for (std::int64_t p = 0; p < low.shape.pixels(); ++p)
    std::copy_n(low.data + p * low.pitch, low.shape.c, job.logits.data() + p * low.shape.c);
}

// ---- the scoring thread

void Run::score() {
  try {
    while (std::optional<Job> job = segmented_.pop()) score_one(*job);
  } catch (...) {
    scoring_failure_ = std::current_exception();
    decoded_.abandon();
    segmented_.abandon();
  }
}

void Run::score_one(Job& job) {
  ConfusionMatrix confusion(comparison_.classes);
  ScoreHistogram scores;
  attempt(job, sample(job).label, [&] {
    confusion.add(job.truth, job.prediction, ClassMap::void_label);
    if (!options_.scores) return;
    scores = ScoreHistogram(comparison_.model_classes);
    add_upsampled_scores(scores, job.logits.view(), job.truth, ClassMap::void_label);
  });
  if (job.error)
    take_failure(job);
  else
    count(job, confusion, scores);
  if (!options_.state.empty() && seconds_since(saved_) >= options_.save_seconds) save();
}

void Run::count(const Job& job, const ConfusionMatrix& confusion, const ScoreHistogram& scores) {
  ImageScore score = score_image(names_[job.index], job.truth.width, job.truth.height, confusion,
                                 options_.scores ? &scores : nullptr);
  score.seconds = job.network_seconds;
  show(job);
  // First what may run out of memory: the state is kept after a failure too, and each image is in all or
  // none.
  result_.images.push_back(std::move(score));
  result_.confusion.add(confusion);
  if (options_.scores) result_.scores.add(scores);
  tell(job, nullptr);
}

void Run::show(const Job& job) const {
  if (!callbacks_.image) return;
  callbacks_.image({.name = names_[job.index],
                    .photo_file = job.file,
                    .photo = job.photo,
                    .truth = job.truth,
                    .prediction = job.prediction,
                    .ignore = ClassMap::void_label});
}

void Run::take_failure(const Job& job) {
  if (options_.strict) std::rethrow_exception(job.error);
  std::string sentence;
  try {
    std::rethrow_exception(job.error);
  } catch (const std::bad_alloc&) {
    sentence = sample(job).photo + ": out of memory";
  } catch (const std::exception& error) {
    sentence = error.what();
  }
  result_.failed.emplace_back(names_[job.index], sentence);
  tell(job, &sentence);
}

void Run::tell(const Job& job, const std::string* failure) {
  if (!callbacks_.progress) return;
  callbacks_.progress({.done = done(),
                       .all = names_.size(),
                       .done_here = done() - first_,
                       .seconds = seconds_since(start_),
                       .name = names_[job.index],
                       .failure = failure});
}

void Run::save() {
  result_.seconds = seconds_before_ + seconds_since(start_);
  save_evaluation(options_.state, identity(), names_, result_);
  saved_ = Clock::now();
}

// ---- all of it

Evaluation Run::run() {
  std::exception_ptr failure;
  {
    std::jthread decoding, scoring;
    // However this block is left, the threads must come to an end before they are joined.
    struct End {
      Run& run;
      ~End() {
        run.decoded_.abandon();
        run.segmented_.end();
      }
    } const end{*this};
    try {
      scoring = std::jthread([this] { score(); });
      decoding = std::jthread([this] { decode(); });
      segment_all();
    } catch (...) {
      failure = std::current_exception();
    }
  }
  for (const std::exception_ptr& of_thread : {decoding_failure_, scoring_failure_})
    if (of_thread) failure = of_thread;
  if (failure) {
    // What has been counted is worth keeping; that it could not be kept is not what went wrong first.
    try {
      if (!options_.state.empty() && done() > first_) save();
    } catch (const std::exception&) {
    }
    std::rethrow_exception(failure);
  }
  if (!options_.state.empty()) save();
  result_.seconds = seconds_before_ + seconds_since(start_);
  if (result_.failed.size() == names_.size())
    fail(ErrorCode::malformed, "none of ", names_.size(), " images could be evaluated; the first, ",
         result_.failed.front().first, ": ", result_.failed.front().second);
  return std::move(result_);
}

}  // namespace

Palette evaluation_palette(const Model& model, bool void_class) {
  Palette palette = model.palette;
  if (void_class && std::ranges::find(model.classes, "void") == model.classes.end()) palette.push_back(white);
  return palette;
}

Evaluation evaluate(const Model& model, const Dataset& dataset, const EvaluateOptions& options,
                    const EvaluateCallbacks& callbacks) {
  return Run(model, dataset, options, callbacks).run();
}

}  // namespace atrous
