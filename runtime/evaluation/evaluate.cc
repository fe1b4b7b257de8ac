#include "runtime/evaluation/evaluate.h"

#include <algorithm>
#include <exception>
#include <optional>
#include <utility>

#include "runtime/engine/pipeline.h"
#include "runtime/engine/stopwatch.h"
#include "runtime/evaluation/attempt.h"
#include "runtime/evaluation/evaluate_job.h"
#include "runtime/evaluation/evaluate_setting.h"
#include "runtime/evaluation/evaluate_tiles.h"
#include "runtime/evaluation/evaluate_truth.h"
#include "runtime/evaluation/evaluate_whole.h"
#include "runtime/evaluation/evaluation_state.h"
#include "runtime/evaluation/journal.h"
#include "runtime/image/image_read.h"
#include "weights_tools/io/clean_text.h"
#include "weights_tools/io/file.h"

namespace atrous {

namespace {

constexpr std::size_t images_ahead = 4, images_behind = 2;
constexpr std::size_t large_ahead = 1;  // and behind: of pictures that are seen in tiles

class EvaluateRun {
 public:
  EvaluateRun(const Predictor& predictor, const Dataset& dataset, const EvaluateOptions& options,
              const EvaluateCallbacks& callbacks);
  Evaluation run();

 private:
  void go_on();
  void run_all();
  EvaluateJob decode(std::size_t place);
  void decode(EvaluateJob&) const;
  void segment(EvaluateJob&);
  bool is_stopped();
  void score(EvaluateJob&);
  void count(EvaluateJob&, EvaluatedImage&) const;
  void add_score(const EvaluateJob&, ImageCounts&) const;
  void take(EvaluatedImage&&);
  void tell(const EvaluateJob&, const std::string* failure);
  void show(EvaluateJob&) const;
  std::size_t done() const { return result_.images.size() + result_.failed.size(); }
  const DatasetSample& sample(const EvaluateJob& job) const { return sample_of(setting_, job); }

  const EvaluateOptions& options_;
  const EvaluateCallbacks& callbacks_;
  const EvaluateSetting setting_;
  const std::size_t size_;  // of the shard
  std::size_t first_ = 0;   // the first of its images that is not in the state
  Evaluation result_;
  std::optional<Session> session_;
  bool shown_as_binary_ = false, stopped_ = false;
  std::optional<Journal> journal_;
  const Stopwatch watch_;
  double taken_ = 0;           // when the image before was
  double seconds_before_ = 0;  // of earlier runs
};

EvaluateRun::EvaluateRun(const Predictor& predictor, const Dataset& dataset, const EvaluateOptions& options,
                         const EvaluateCallbacks& callbacks)
    : options_(options),
      callbacks_(callbacks),
      setting_(make_setting(predictor, dataset, options, callbacks.image != nullptr)),
      size_(options.shard.size(dataset.samples.size())),
      result_(empty_evaluation(setting_)) {
  if (predictor.model) session_.emplace(predictor.model->program, options.session);
  if (!options.state.empty()) go_on();
}

// With the images that are in the state.
void EvaluateRun::go_on() {
  const EvaluationReader reader{{options_.state}};
  const Evaluation empty = result_;
  const std::vector<DatasetSample>& samples = setting_.dataset.samples;
  const JournalHead head = evaluation_head(empty, run_identity(setting_), options_.shard, samples.size());
  journal_.emplace(options_.state, head, [&](const Json& record) {
    EvaluatedImage image = reader.image(record, empty);
    if (done() == size_) reader.refuse("counts more than the ", size_, " images of its shard");
    if (const std::string& name = samples[options_.shard.at(done())].name; image.name != name)
      reader.refuse("has image ", printable(image.name), " in the place of ", printable(name));
    seconds_before_ += image.seconds;
    add_counts(result_, image);
    add_image(result_, std::move(image));
  });
  first_ = done();
}

// ---- the decode thread

EvaluateJob EvaluateRun::decode(std::size_t place) {
  if (place == first_ && setting_.comparison.binary && setting_.shown)
    shown_as_binary_ = show_as_binary(setting_);
  EvaluateJob job;
  job.index = options_.shard.at(place);
  attempt(job.error, "", [&] { decode(job); });
  return job;
}

void EvaluateRun::decode(EvaluateJob& job) const {
  if (setting_.predictor.predictions) return read_prediction(setting_, job);
  const std::string& photo = sample(job).photo;
  const ReadOptions how{.exif = options_.exif};
  job.rows = png_by_rows(setting_, photo);
  if (!job.rows) {
    job.file = read_file(photo, how.max_file_bytes);
    job.photo = read_image(job.file, photo, how);
  }
  const PixelSize size = job.rows ? PixelSize{job.rows->rows.width(), job.rows->rows.height()}
                                  : PixelSize{job.photo.width, job.photo.height};
  const bool by_rows = goes_by_rows(setting_, size);
  read_truth_of_size(setting_, job, size, by_rows);
  by_rows ? prepare_rows(setting_, job, size) : prepare_whole(setting_, job);
}

// ---- the caller's thread

void EvaluateRun::segment(EvaluateJob& job) {
  if (options_.protocol && !is_single_run(*options_.protocol))
    return segment_by_protocol(setting_, *session_, job);
  if (job.rows ||
      (options_.tiling && !fits_one_tile(*options_.tiling, job.picture.width, job.picture.height)))
    return segment_by_tiles(setting_, *session_, job, [this] { return is_stopped(); });
  segment_whole(setting_, *session_, job);
}

bool EvaluateRun::is_stopped() {
  stopped_ = stopped_ || (callbacks_.stop && call_host(callbacks_.stop));
  return stopped_;
}

// ---- the scoring thread

void EvaluateRun::score(EvaluateJob& job) {
  if (job.abandoned) return;
  EvaluatedImage image;
  image.name = sample(job).name;
  image.seen = job.seen;
  attempt(job.error, setting_.predictions.empty() ? sample(job).label : setting_.predictions[job.index],
          [&] { count(job, image); });
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

// What was not counted row by row. With 255 as class 1, where that may still hold: the undecided pixels
// beside all others.
void EvaluateRun::count(EvaluateJob& job, EvaluatedImage& image) const {
  const Comparison& comparison = setting_.comparison;
  image.counts =
      job.counted ? std::move(*job.counted) : count_whole(setting_, job, decided(comparison, job.truth));
  add_score(job, image.counts);
  if (!result_.binary || !counts_undecided(comparison, job)) return;
  ImageCounts& foreground = image.foreground.emplace(
      job.alone ? std::move(*job.alone) : count_whole(setting_, job, undecided_alone(job.truth)));
  foreground.confusion.add(image.counts.confusion);
  foreground.sharpened.add(image.counts.sharpened);
  if (setting_.has_scores()) foreground.scores.add(image.counts.scores);
  add_score(job, foreground);
}

void EvaluateRun::add_score(const EvaluateJob& job, ImageCounts& counts) const {
  ImageScore& score = counts.score;
  score = score_image(sample(job).name, job.truth.width, job.truth.height, counts.confusion,
                      setting_.has_scores() ? &counts.scores : nullptr);
  if (setting_.comparison.classes == 1) {  // nothing could be wrong
    score.pixel_accuracy = score.mean_iou = score.mean_dice = score.cross_entropy = std::nullopt;
    score.iou.clear();
  }
  score.seconds = job.network_seconds;
}

// First the journal: where memory gives out behind it, the next run finds the image there.
void EvaluateRun::take(EvaluatedImage&& image) {
  const double now = watch_.elapsed();
  image.seconds = now - std::exchange(taken_, now);
  if (journal_) journal_->append(evaluation_record(image));
  add_counts(result_, image);
  add_image(result_, std::move(image));
}

void EvaluateRun::show(EvaluateJob& job) const {
  if (!callbacks_.image) return;
  if (job.reduced) {
    job.photo = job.reduced->photo.picture();
    job.truth = job.reduced->truth.map();
    job.prediction = job.reduced->prediction.map();
  }
  if (setting_.comparison.binary)
    job.truth = relabelled(std::move(job.truth), undecided, shown_as_binary_ ? 1 : ClassMap::void_label);
  call_host(callbacks_.image, ScoredImage{.name = sample(job).name,
                                          .photo_file = job.file,
                                          .photo = job.photo,
                                          .truth = job.truth,
                                          .prediction = job.prediction,
                                          .ignore = ClassMap::void_label});
}

void EvaluateRun::tell(const EvaluateJob& job, const std::string* failure) {
  if (!callbacks_.progress) return;
  call_host(callbacks_.progress, EvaluateProgress{.done = done(),
                                                  .all = size_,
                                                  .done_here = done() - first_,
                                                  .seconds = watch_.elapsed(),
                                                  .name = sample(job).name,
                                                  .failure = failure});
}

// ---- all of it

void EvaluateRun::run_all() {
  PipelineSteps<EvaluateJob> steps;
  steps.prepare = [this](std::size_t index) { return decode(index); };
  if (session_)
    steps.run = [this](EvaluateJob& job) { attempt(job.error, sample(job).photo, [&] { segment(job); }); };
  steps.finish = [this](EvaluateJob& job) { score(job); };
  steps.stop = [this] { return is_stopped(); };
  run_pipeline({.first = first_,
                .last = size_,
                .threads = 1,
                .ahead = options_.tiling ? large_ahead : images_ahead,
                .behind = options_.tiling ? large_ahead : images_behind},
               steps);
}

Evaluation EvaluateRun::run() {
  run_all();
  if (journal_) journal_->sync();
  result_.seconds = seconds_before_ + watch_.elapsed();
  settle_binary(result_);
  if (options_.shard.count == 1 && done() == size_) expect_images(result_);
  return std::move(result_);
}

}  // namespace

Evaluation evaluate(const Model& model, const Dataset& dataset, const EvaluateOptions& options,
                    const EvaluateCallbacks& callbacks) try {
  return EvaluateRun({.classes = model.classes, .palette = model.palette, .model = &model}, dataset, options,
                     callbacks)
      .run();
} catch (...) {
  rethrow_as_error();
}

Evaluation evaluate(const Predictions& predictions, const Dataset& dataset, const EvaluateOptions& options,
                    const EvaluateCallbacks& callbacks) try {
  return EvaluateRun(
             {.classes = predictions.classes, .palette = predictions.palette, .predictions = &predictions},
             dataset, options, callbacks)
      .run();
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
