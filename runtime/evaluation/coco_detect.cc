#include "runtime/evaluation/coco_detect.h"

#include <algorithm>
#include <charconv>
#include <exception>
#include <optional>

#include "layers/base/ascii.h"
#include "layers/base/error.h"
#include "runtime/engine/pipeline.h"
#include "runtime/engine/program.h"
#include "runtime/engine/stopwatch.h"
#include "runtime/evaluation/attempt.h"
#include "runtime/evaluation/coco_state.h"
#include "runtime/evaluation/dataset_classes.h"
#include "runtime/evaluation/dataset_files.h"
#include "runtime/evaluation/journal.h"
#include "runtime/image/image_read.h"
#include "runtime/image/preprocess.h"
#include "runtime/segment/second_stage.h"
#include "weights_tools/io/sha256.h"

namespace atrous {

namespace {

constexpr std::size_t photos_ahead = 4, instances_behind = 2;

// ---- classes

std::size_t annotations_of(const CocoAnnotations& all, std::int64_t category) {
  return static_cast<std::size_t>(std::ranges::count(all.annotations, category, &CocoAnnotation::category));
}

std::optional<std::int64_t> category_named(const CocoAnnotations& all, const std::string& name,
                                           std::size_t label) {
  const CocoCategory* best = nullptr;
  const auto rank = [&](const CocoCategory& c) {
    return std::pair(c.id == static_cast<std::int64_t>(label), annotations_of(all, c.id));
  };
  for (const CocoCategory& c : all.categories)
    if (!c.name.empty() && lower(c.name) == lower(name) && (!best || rank(c) > rank(*best))) best = &c;
  return best ? std::optional(best->id) : std::nullopt;
}

std::optional<std::int64_t> category_of_id(const CocoAnnotations& all, std::size_t label) {
  const auto id = static_cast<std::int64_t>(label);
  const bool found = std::ranges::binary_search(all.categories, id, {}, &CocoCategory::id);
  return found ? std::optional(id) : std::nullopt;
}

// ---- masks

// The least float above a half: torchvision's references take what is above it.
constexpr float above_half = 0x1.000002p-1F;

// ---- the run

// One image on its way.
struct CocoJob {
  std::size_t index = 0;
  std::exception_ptr error;
  Image photo;
  Instances instances;
};

// No image could fare better.
bool is_of_options(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const Error& e) {
    return e.code() == ErrorCode::invalid_argument;
  } catch (...) {
    return false;
  }
}

// The fewest digits that give the same float.
std::string shortest_digits(float value) {
  char digits[40];
  return {digits, std::to_chars(digits, digits + sizeof digits, value).ptr};
}

class CocoRun {
 public:
  CocoRun(const Model& model, std::span<const CocoImage> images, const std::string& folder,
          const CocoClassMap& classes, const DetectCocoOptions& options, const DetectCocoCallbacks& callbacks)
      : images_(images),
        classes_(classes),
        options_(options),
        callbacks_(callbacks),
        model_(model),
        detector_(model, options.session) {
    if (images.empty()) fail(ErrorCode::invalid_argument, "detections: there are no images");
    photos_ = list_coco_photos(images, folder);
    if (options.state.empty()) return;
    const DetectionsReader reader{{options.state}};
    const DetectionRun run{options.model, model.architecture, options.annotations,
                           folder,        model.has_masks(),  classes};
    const JournalHead head = detections_head(run, identity(), options.shard, images.size());
    journal_.emplace(options.state, head, [&](const Json& record) {
      if (done() == size_) reader.refuse("counts more than the ", size_, " images of its shard");
      const CocoImage& image = images_[options.shard.at(done())];
      DetectedImage one = reader.image(record, image, run);
      seconds_before_ += one.seconds;
      add_image(found_, image, std::move(one));
    });
    first_ = done();
  }

  DetectedCoco run() {
    run_all();
    if (journal_) journal_->sync();
    found_.seconds = seconds_before_ + seconds_here();
    if (options_.shard.count == 1 && done() == size_) expect_images(found_);
    return std::move(found_);
  }

 private:
  std::size_t done() const { return found_.images.size() + found_.failed.size(); }
  double seconds_here() const { return watch_.elapsed(); }

  void run_all() {
    PipelineSteps<CocoJob> steps;
    steps.prepare = [this](std::size_t place) { return decode(options_.shard.at(place)); };
    steps.run = [this](CocoJob& job) {
      attempt(job.error, photos_[job.index],
              [&] { job.instances = detector_.detect(job.photo, options_.instances); });
      job.photo = {};
    };
    steps.finish = [this](CocoJob& job) { take(job); };
    if (callbacks_.stop) steps.stop = [this] { return call_host(callbacks_.stop); };
    run_pipeline(
        {.first = first_, .last = size_, .threads = 1, .ahead = photos_ahead, .behind = instances_behind},
        steps);
  }

  RunIdentity identity() const {
    std::string lookup;
    for (const auto& category : classes_.category) lookup += category ? str_cat(*category, ' ') : "- ";
    const TwoStage& how = model_.second_stage->how;
    const InstanceOptions& asked = options_.instances;
    RunIdentity all = options_.identity;
    all.insert(all.end(),
               {{"images", images_identity(images_)},
                {"class map", "sha256 " + sha256_of_bytes(std::as_bytes(std::span(lookup)))},
                {"score", shortest_digits(asked.score.value_or(how.detections.score))},
                {"IoU", shortest_digits(asked.threshold.value_or(how.detections.threshold))},
                {"instances", str_cat("at most ", asked.detections.value_or(how.detections.detections))},
                {"network input", in_words(asked.sides.value_or(how.sides))},
                {"EXIF orientation", options_.exif ? "applied" : "ignored"},
                {"normalisation", in_words(model_.preparation)},
                {"device", model_.program->runs_on()},
                {"precision", std::string(model_.program->precision())}});
    return all;
  }

  CocoJob decode(std::size_t index) const {
    CocoJob job;
    job.index = index;
    attempt(job.error, "", [&] {
      job.photo = read_image_file(photos_[index], {.exif = options_.exif});
      check_coco_photo(job.photo, images_[index], photos_[index]);
    });
    return job;
  }

  void take(CocoJob& job) {
    const CocoImage& image = images_[job.index];
    DetectedImage one;
    attempt(job.error, photos_[job.index], [&] {
      one.found = coco_detections(job.instances, classes_, image.id);
      one.other_classes = job.instances.found.size() - one.found.size();
    });
    std::string sentence;
    if (job.error) {
      if (options_.strict || is_of_options(job.error)) std::rethrow_exception(job.error);
      sentence = failure_sentence(job.error, photos_[job.index]);
      one = {};
      one.failed = sentence;
    }
    const double now = seconds_here();
    one.seconds = now - std::exchange(taken_, now);
    // First the journal: where memory gives out behind it, the next run finds the image there.
    if (journal_) journal_->append(detections_record(image.id, one));
    add_image(found_, image, std::move(one));
    if (!callbacks_.progress) return;
    call_host(callbacks_.progress, EvaluateProgress{.done = done(),
                                                    .all = size_,
                                                    .done_here = done() - first_,
                                                    .seconds = seconds_here(),
                                                    .name = image.file_name,
                                                    .failure = job.error ? &sentence : nullptr});
  }

  const std::span<const CocoImage> images_;
  const CocoClassMap& classes_;
  const DetectCocoOptions& options_;
  const DetectCocoCallbacks& callbacks_;
  const Model& model_;
  Detector detector_;
  std::vector<std::string> photos_;  // a path for each image
  DetectedCoco found_;
  const std::size_t size_ = options_.shard.size(images_.size());
  std::size_t first_ = 0;      // the first of the shard's images that is not in the state
  double seconds_before_ = 0;  // of earlier runs
  double taken_ = 0;           // when the image before was
  std::optional<Journal> journal_;
  Stopwatch watch_;
};

}  // namespace

CocoClassMap match_coco_classes(std::span<const std::string> classes,
                                const CocoAnnotations& annotations) try {
  CocoClassMap map;
  map.category.resize(classes.size());
  for (std::size_t label = 1; label < classes.size(); ++label) {
    if (!is_unnamed(classes[label], label))
      map.category[label] = category_named(annotations, classes[label], label);
    map.by_name = map.by_name || map.category[label];
  }
  if (map.by_name) return map;
  for (std::size_t label = 1; label < classes.size(); ++label)
    map.category[label] = category_of_id(annotations, label);
  if (std::ranges::any_of(map.category, [](const auto& id) { return id.has_value(); })) return map;
  fail(ErrorCode::mismatch, annotations.path, ": none of its ", annotations.categories.size(),
       " categories has the name or, from 1 to ", classes.empty() ? 0 : classes.size() - 1,
       ", the number of one of the model's classes");
} catch (...) {
  rethrow_as_error();
}

std::vector<CocoDetection> coco_detections(const Instances& instances, const CocoClassMap& classes,
                                           std::int64_t image) try {
  std::vector<CocoDetection> detections;
  for (std::size_t i = 0; i < instances.found.size(); ++i) {
    const Instance& instance = instances.found[i];
    const auto label = static_cast<std::size_t>(instance.label);
    if (label >= classes.category.size() || !classes.category[label]) continue;
    const Box& box = instance.box;
    CocoDetection d{image, *classes.category[label], instance.score,
                    CocoBox{box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1}};
    if (!instance.mask.empty())
      d.mask = CocoMask{{}, pasted_runs(instances, i, above_half), instances.width, instances.height};
    detections.push_back(std::move(d));
  }
  return detections;
} catch (...) {
  rethrow_as_error();
}

DetectedCoco detect_coco(const Model& model, std::span<const CocoImage> images, const std::string& folder,
                         const CocoClassMap& classes, const DetectCocoOptions& options,
                         const DetectCocoCallbacks& callbacks) try {
  return CocoRun(model, images, folder, classes, options, callbacks).run();
} catch (...) {
  rethrow_as_error();
}

std::vector<std::string> list_coco_photos(std::span<const CocoImage> images, const std::string& folder) try {
  std::vector<std::string> paths;
  std::size_t missing = 0;
  std::string first;
  for (const CocoImage& image : images) {
    for (std::string_view rest = image.file_name;;) {  // folders below the photos' are common
      const std::size_t slash = rest.find('/');
      if (!is_plain_name(rest.substr(0, slash)))
        fail(ErrorCode::malformed, "image ", image.id, ": ",
             image.file_name.empty() ? "has no file name" : "has a file name that leads elsewhere");
      if (slash == rest.npos) break;
      rest.remove_prefix(slash + 1);
    }
    paths.push_back(join(folder, image.file_name));
    if (!is_file(paths.back()) && missing++ == 0) first = paths.back();
  }
  if (missing > 0)
    fail(ErrorCode::io, first, ": no such photo; ", missing, " of ", images.size(), " photos are missing");
  return paths;
} catch (...) {
  rethrow_as_error();
}

void check_coco_photo(const Image& photo, const CocoImage& image, const std::string& path) try {
  if (photo.width != image.width || photo.height != image.height)
    fail(ErrorCode::malformed, path, ": expected ", image.width, "x", image.height,
         " pixels, as the annotations have it, found ", photo.width, "x", photo.height);
} catch (...) {
  rethrow_as_error();
}

void keep_coco_images(CocoAnnotations& annotations, std::span<const std::int64_t> ids) try {
  const auto is_out = [&](std::int64_t id) { return !std::ranges::binary_search(ids, id); };
  std::erase_if(annotations.images, [&](const CocoImage& i) { return is_out(i.id); });
  std::erase_if(annotations.annotations, [&](const CocoAnnotation& a) { return is_out(a.image); });
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
