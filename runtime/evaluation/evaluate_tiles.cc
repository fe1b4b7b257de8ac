#include "runtime/evaluation/evaluate_tiles.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "runtime/engine/stopwatch.h"
#include "runtime/evaluation/attempt.h"
#include "runtime/evaluation/evaluate_truth.h"
#include "runtime/evaluation/upsampled_scores.h"
#include "runtime/tiles/tiled.h"

namespace atrous {

namespace {

// Thrown through segment_tiled(): no more rows are wanted.
struct EndOfPicture {};

// The truth of rows that were just made.
LabelMap truth_of_rows(EvaluateJob& job, const LabelRows& rows) {
  if (job.truth_rows) return job.truth_rows->read(rows.labels.height);
  const std::uint8_t* const first = job.truth.row(rows.y);
  return {rows.labels.width, rows.labels.height, {first, first + rows.labels.labels.size()}};
}

void keep_shown(const EvaluateSetting& setting, EvaluateJob& job, const LabelRows& rows,
                const LabelMap& truth) {
  if (job.reduced) {
    job.reduced->photo.add(rows.photo);
    job.reduced->truth.add(truth);
    job.reduced->prediction.add(rows.labels);
  } else if (setting.shown) {
    job.prediction.labels.insert(job.prediction.labels.end(), rows.labels.labels.begin(),
                                 rows.labels.labels.end());
  }
}

}  // namespace

bool goes_by_rows(const EvaluateSetting& setting, PixelSize size) {
  return setting.options.tiling && !fits_one_tile(*setting.options.tiling, size.width, size.height) &&
         (!setting.shown || std::max(size.width, size.height) > most_shown_side);
}

std::unique_ptr<PngFile> png_by_rows(const EvaluateSetting& setting, const std::string& path) {
  if (!setting.options.tiling || !PngRows::is_png(InputFile(path))) return nullptr;
  auto file = std::make_unique<PngFile>(path);
  const PngRows& rows = file->rows;
  const bool turned = setting.options.exif && rows.orientation() != 1;
  if (rows.is_interlaced() || turned || !goes_by_rows(setting, {rows.width(), rows.height()})) return nullptr;
  return file;
}

void prepare_rows(const EvaluateSetting& setting, EvaluateJob& job, PixelSize size) {
  if (setting.shown)
    job.reduced = std::make_unique<ReducedPictures>(size.width, size.height,
                                                    reduction_to(most_shown_side, size.width, size.height));
  job.picture = std::move(job.photo);
  job.photo = {};
  job.file = {};
}

void segment_by_tiles(const EvaluateSetting& setting, Session& session, EvaluateJob& job,
                      const std::function<bool()>& is_stopped) {
  const Stopwatch watch;
  const EvaluateOptions& options = setting.options;
  const bool both = counts_undecided(setting.comparison, job);
  job.counted = no_counts(setting);
  if (both) job.alone = no_counts(setting);
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
    if (setting.has_scores())
      add_scores(counts.scores, rows.logits, truth, ClassMap::void_label, session.threads());
  };
  const auto take = [&](const LabelRows& rows) {
    if (is_stopped()) throw EndOfPicture{};
    LabelMap truth;
    attempt(unread, "", [&] { truth = truth_of_rows(job, rows); });
    if (unread) throw EndOfPicture{};
    attempt(error, "", [&] {
      count(rows, decided(setting.comparison, truth), *job.counted);
      if (both) count(rows, undecided_alone(truth), *job.alone);
      keep_shown(setting, job, rows, truth);
    });
    if (error) throw EndOfPicture{};
  };
  job.prediction = {source.width, source.height, {}};
  try {
    segment_tiled(session, *setting.predictor.model, source,
                  {.tiling = *options.tiling,
                   .confidence = false,
                   .threshold = options.threshold,
                   .logits = setting.has_scores()},
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
  job.network_seconds = watch.elapsed();
}

}  // namespace atrous
