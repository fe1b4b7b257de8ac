#include "runtime/evaluation/evaluate_whole.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "layers/base/checked.h"
#include "layers/base/error.h"
#include "runtime/engine/stopwatch.h"
#include "runtime/evaluation/evaluate_truth.h"
#include "runtime/evaluation/upsampled_scores.h"
#include "runtime/image/image_read.h"
#include "runtime/image/label_read.h"
#include "runtime/image/pillow_resize.h"
#include "runtime/segment/segmenter.h"
#include "weights_tools/io/file.h"

namespace atrous {

namespace {

LabelMap read_predicted_labels(const EvaluateSetting& setting, const std::string& path) {
  const Comparison& comparison = setting.comparison;
  ReadLabels labels = read_labels_file(path, comparison.colours);
  std::vector<std::uint8_t>& all = labels.map.labels;
  // Colours of the dataset's classes; indices are those compared.
  if (labels.form != LabelForm::indices && !setting.dataset.label_colours.palette.empty())
    for (std::uint8_t& label : all) label = comparison.map.to[label];
  if (comparison.classes == 2 && std::ranges::find(all, std::uint8_t{1}) == all.end())
    std::ranges::replace(all, std::uint8_t{255}, std::uint8_t{1});
  return std::move(labels.map);
}

// The network's input alone would not fit: known before the photo is brought to that size.
void check_input_size(const EvaluateSetting& setting, const std::string& photo, int width, int height) {
  const std::int64_t bytes = checked_product({width, height, 3, sizeof(float)}, "network input");
  const std::size_t limit = setting.options.session.memory_limit;
  if (limit > 0 && static_cast<std::uint64_t>(bytes) > limit)
    fail(ErrorCode::limit, photo, ": the network's input of ", width, "x", height, " needs ", bytes,
         " bytes, over the limit of ", limit);
}

// What a CRF reads.
const Image& compared_photo(const EvaluateSetting& setting, const EvaluateJob& job) {
  return setting.options.at_original ? job.photo : job.picture;
}

}  // namespace

void read_prediction(const EvaluateSetting& setting, EvaluateJob& job) {
  const DatasetSample& sample = sample_of(setting, job);
  const std::string& path = setting.predictions[job.index];
  job.truth = read_whole_truth(setting, job);
  job.prediction = read_predicted_labels(setting, path);
  if (job.truth.width != job.prediction.width || job.truth.height != job.prediction.height)
    fail(ErrorCode::malformed, path, ": expected labels of ", job.truth.width, "x", job.truth.height,
         " as the truth has, found ", job.prediction.width, "x", job.prediction.height);
  if (!setting.shown) return;
  job.file = read_file(sample.photo, ReadOptions().max_file_bytes);
  job.photo = read_image(job.file, sample.photo, {.exif = setting.options.exif});
}

void prepare_whole(const EvaluateSetting& setting, EvaluateJob& job) {
  const EvaluateOptions& options = setting.options;
  const ResizeRule& rule = setting.comparison.preparation.resize;
  const auto [width, height] = resized_size(rule, job.photo.width, job.photo.height);
  check_input_size(setting, sample_of(setting, job).photo, width, height);
  job.picture = apply(rule, job.photo, 1);
  if (!options.at_original) {
    if (width != job.truth.width || height != job.truth.height)
      job.truth = resize_nearest(job.truth, width, height);
    if (rule.center_crop > 0) job.truth = crop_truth(std::move(job.truth), rule.center_crop);
  }
  if (setting.shown) return;
  job.file = {};
  if (!options.crf || !options.at_original) job.photo = {};
}

void segment_whole(const EvaluateSetting& setting, Session& session, EvaluateJob& job) {
  const Stopwatch watch;
  const Model& model = *setting.predictor.model;
  const EvaluateOptions& options = setting.options;
  const Comparison& comparison = setting.comparison;
  if (options.crf) session.set_aside(sharp_label_bytes(model, job.truth.height, job.truth.width));
  session.run(job.picture, comparison.preparation);
  job.network_seconds = watch.elapsed();
  job.prediction = label(session, 0, job.truth.height, job.truth.width, nullptr, "out", comparison.threshold);
  if (options.crf)
    job.sharpened = sharp_label(session, model, 0, compared_photo(setting, job), *options.crf, nullptr, "out",
                                options.threshold);
  if (!options.scores) return;
  job.growth = session.growth(job.truth.height, job.truth.width);
  const ConstView low = session.output();  // only until the next run
  job.logits = Tensor(low.shape);
  for (std::int64_t p = 0; p < low.shape.pixels(); ++p)
    std::copy_n(low.data + p * low.pitch, low.shape.c, job.logits.data() + p * low.shape.c);
}

// The probabilities go to the scoring thread as logits: their logarithms, of which they are the softmax.
void segment_by_protocol(const EvaluateSetting& setting, Session& session, EvaluateJob& job) {
  const Stopwatch watch;
  const Model& model = *setting.predictor.model;
  const EvaluateOptions& options = setting.options;
  const TestProtocol& protocol = *options.protocol;
  const PixelSize size{job.truth.width, job.truth.height};
  session.set_aside(std::max(protocol_bytes(protocol, model, {job.picture.width, job.picture.height}, size),
                             options.crf ? sharp_label_bytes(model, size.height, size.width) : 0));
  Tensor p =
      protocol_probabilities(session, model, job.picture, setting.comparison.preparation, size, protocol);
  job.network_seconds = watch.elapsed();
  job.prediction = label(model, p.view(), options.threshold, nullptr);
  if (options.scores) {
    job.growth = {.align_corners = false,
                  .out_h = static_cast<double>(size.height),
                  .out_w = static_cast<double>(size.width)};
    job.logits = Tensor(p.shape());
    std::ranges::transform(p.values(), job.logits.data(), [](float value) {
      return std::log(std::max(value, std::numeric_limits<float>::min()));
    });
  }
  if (!options.crf) return;
  sharpen(session, compared_photo(setting, job), p.view(), false, *options.crf);
  job.sharpened = label(model, p.view(), options.threshold, nullptr);
}

ImageCounts count_whole(const EvaluateSetting& setting, const EvaluateJob& job, const LabelMap& truth) {
  ImageCounts counts = no_counts(setting);
  counts.confusion.add(truth, job.prediction, ClassMap::void_label);
  if (setting.options.crf) counts.sharpened.add(truth, job.sharpened, ClassMap::void_label);
  if (setting.has_scores())
    add_upsampled_scores(counts.scores, job.logits.view(), job.growth, truth, ClassMap::void_label);
  return counts;
}

}  // namespace atrous
