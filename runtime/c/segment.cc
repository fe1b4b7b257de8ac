#include <algorithm>
#include <cstddef>
#include <utility>

#include "runtime/c/handles.h"
#include "runtime/drawing/pictures.h"
#include "runtime/instances/instance_overlay.h"
#include "runtime/segment/second_stage.h"

namespace atrous::c {

namespace {

// A session, for as long as a call uses it.
class InUse {
 public:
  explicit InUse(std::atomic_flag& flag) : flag_(flag) {
    if (flag_.test_and_set(std::memory_order_acquire))
      fail(ErrorCode::invalid_argument, "the session is in use by another thread: each takes one of its own");
  }
  ~InUse() { flag_.clear(std::memory_order_release); }
  InUse(const InUse&) = delete;
  InUse& operator=(const InUse&) = delete;

 private:
  std::atomic_flag& flag_;
};

// atrous_segment_options had this size at first.
constexpr std::size_t first_segment_options = offsetof(atrous_segment_options, crf_options);

SegmentOptions segment_options(const atrous_segment_options& o, const Model& model) {
  constexpr std::uint32_t all = ATROUS_CONFIDENCE | ATROUS_PROBABILITIES | ATROUS_LOGITS;
  refuse_reserved(o.reserved);
  if (o.want & ~all) fail(ErrorCode::invalid_argument, "want: expected some of ", all, ", found ", o.want);
  SegmentOptions options;
  options.resize = resize_rule(o.resize, o.width, o.height);
  options.at_input = o.at_input != 0;
  options.confidence = (o.want & ATROUS_CONFIDENCE) != 0;
  options.probabilities = (o.want & ATROUS_PROBABILITIES) != 0;
  options.logits = (o.want & ATROUS_LOGITS) != 0;
  if (o.threshold != 0) options.threshold = o.threshold;
  if (o.crf) options.crf = crf_of_model(o.crf_options, model);
  if (!o.crf && o.crf_options) fail(ErrorCode::invalid_argument, "crf_options: crf is 0, there is no CRF");
  if (o.protocol) options.protocol = test_protocol(*o.protocol, model);
  if (o.score != 0 || o.max_instances != 0)
    fail(ErrorCode::invalid_argument, "score and max_instances are for instances, which ", model.architecture,
         " has none of");
  return options;
}

// A picture in tiles, at its own size.
Segmentation tiled(atrous_session& session, const Image& photo, const atrous_segment_options& o,
                   const Tiling& tiles) {
  const SegmentOptions plain = segment_options(o, session.named->model);
  const std::pair<bool, const char*> others[] = {
      {plain.probabilities || plain.logits, "probabilities and logits"},
      {plain.crf.has_value(), "crf"},
      {plain.protocol.has_value(), "protocol"},
      {plain.at_input, "at_input"},
      {plain.resize && plain.resize->kind != ResizeRule::Kind::none, "resize"}};
  for (const auto& [given, what] : others)
    if (given)
      fail(ErrorCode::invalid_argument, what,
           ": with tile the picture has its own size, once, and labels and "
           "confidences alone");
#if ATROUS_HAS_TILES
  return segment_tiled(*session.semantic, session.named->model, photo,
                       {.tiling = tiles, .confidence = plain.confidence, .threshold = plain.threshold});
#else
  static_cast<void>(photo);
  static_cast<void>(tiles);
  return {};
#endif
}

void detect(atrous_session& session, const Image& photo, const atrous_segment_options& o,
            atrous_result& result) {
  const Model& model = session.named->model;
  refuse_reserved(o.reserved);
  if (o.want || o.at_input || o.crf || o.crf_options || o.threshold != 0 || o.protocol || o.tile || o.overlap)
    fail(ErrorCode::invalid_argument,
         "want, at_input, crf, threshold, protocol and tile are for label maps, ", model.architecture,
         " finds instances");
  InstanceOptions options;
  if (o.score != 0) options.score = static_cast<float>(std::max(o.score, 0.));
  if (o.max_instances != 0) options.detections = o.max_instances;
  if (const auto rule = resize_rule(o.resize, o.width, o.height))
    options.sides = bounded_sides(*rule, model.second_stage->how.sides, photo.width, photo.height);
  Instances found = session.instances->detect(photo, options);
  Segmentation& s = result.segmentation;
  s.labels = model.has_masks() ? painted_labels(found) : LabelMap{photo.width, photo.height, {}};
  s.labels.labels.resize(static_cast<std::size_t>(photo.width) * static_cast<std::size_t>(photo.height));
  s.input_width = found.input_width;
  s.input_height = found.input_height;
  s.prepare_seconds = found.prepare_seconds;
  s.network_seconds = found.trunk_seconds;
  s.label_seconds = found.head_seconds;
  result.instances = std::move(found);
}

const float* or_null(const float* data, bool there) { return there ? data : nullptr; }

const Instance& instance_at(const atrous_result& result, std::int32_t index) {
  const std::size_t count = result.instances ? result.instances->found.size() : 0;
  if (index < 0 || static_cast<std::size_t>(index) >= count)
    fail(ErrorCode::invalid_argument, "instance ", index, ": the result has ", count);
  return result.instances->found[static_cast<std::size_t>(index)];
}

// The photo of a result, as it was given again. Error(invalid_argument) for another size.
Image photo_of(const atrous_result& result, const atrous_image* argument) {
  Image photo = rgb_of(argument, "photo");
  if (photo.width != result.photo_width || photo.height != result.photo_height)
    fail(ErrorCode::invalid_argument, "photo: expected the one that was segmented, ", result.photo_width, 'x',
         result.photo_height, ", found ", photo.width, 'x', photo.height);
  return photo;
}

Image drawn(const atrous_result& result, atrous_drawing what, const atrous_image* argument,
            const atrous_draw_options& o) {
  const Model& model = result.named->model;
  const Segmentation& s = result.segmentation;
  refuse_reserved(o.reserved);
  if (what == ATROUS_DRAW_MASK) return colourise(s.labels, model.palette);
  if (what == ATROUS_DRAW_CONFIDENCE) {
    if (s.confidence.empty())
      fail(ErrorCode::invalid_argument, "the result has no confidence: it was not asked for");
    return confidence_picture(s.confidence, s.labels.width, s.labels.height);
  }
  if (what != ATROUS_DRAW_OVERLAY && what != ATROUS_DRAW_CUTOUT && what != ATROUS_DRAW_INPUT)
    fail(ErrorCode::invalid_argument, "drawing ", static_cast<int>(what), ": expected 0 to 4");
  Image photo = photo_of(result, argument);
  if (s.resized) photo = *s.resized;
  if (what == ATROUS_DRAW_INPUT) return photo;
  if (what == ATROUS_DRAW_CUTOUT) {
    if (o.label < 0 || o.label >= static_cast<std::int32_t>(model.classes.size()))
      fail(ErrorCode::invalid_argument, "label ", o.label, ": expected 0 to ", model.classes.size() - 1);
    return cutout(photo, s.labels, static_cast<std::uint8_t>(o.label));
  }
  OverlayOptions style;
  if (o.alpha != 0) style.alpha = static_cast<float>(std::max(o.alpha, 0.));
  style.contours = o.no_contours == 0;
  if (!o.tint_all) style.background = model.background;
  return result.instances ? instance_overlay(photo, *result.instances, model, style)
                          : overlay(photo, s.labels, model.palette, style);
}

}  // namespace

void refuse_reserved(std::int32_t found) {
  if (found != 0) fail(ErrorCode::invalid_argument, "reserved: expected 0, found ", found);
}

std::optional<ResizeRule> resize_rule(std::int32_t kind, std::int32_t width, std::int32_t height) {
  const auto check = [](const char* side, std::int32_t found) {
    if (found < 1) fail(ErrorCode::invalid_argument, "resize: expected a ", side, " above 0, found ", found);
  };
  if (kind == ATROUS_RESIZE_AS_MODEL) return std::nullopt;
  if (kind == ATROUS_RESIZE_NONE) return ResizeRule{.kind = ResizeRule::Kind::none, .width = 0};
  if (kind < ATROUS_RESIZE_AS_MODEL || kind > ATROUS_RESIZE_LONGER)
    fail(ErrorCode::invalid_argument, "resize: expected 0 to 4, found ", kind);
  check("width", width);
  if (kind == ATROUS_RESIZE_LONGER) return ResizeRule{.kind = ResizeRule::Kind::longer_side, .width = width};
  if (kind == ATROUS_RESIZE_SHORTER)
    return ResizeRule{.kind = ResizeRule::Kind::shorter_side, .width = width};
  check("height", height);
  return ResizeRule{.kind = ResizeRule::Kind::exact, .width = width, .height = height};
}

}  // namespace atrous::c

using namespace atrous::c;

extern "C" {

atrous_status atrous_segment(atrous_session* session, const atrous_image* photo,
                             const atrous_segment_options* options, atrous_result** out) {
  return made(out, [&] {
    given(session, "session");
    const InUse in_use(session->in_use);
    const atrous_segment_options o = options_of(options, "atrous_segment_options", first_segment_options);
    const atrous::Image rgb = rgb_of(photo, "photo");
    auto result = std::make_unique<atrous_result>();
    result->named = session->named;
    result->photo_width = rgb.width;
    result->photo_height = rgb.height;
    const atrous::Model& model = session->named->model;
    if (session->instances)
      detect(*session, rgb, o, *result);
    else if (const auto tiles = tiling(o.tile, o.overlap))
      result->segmentation = tiled(*session, rgb, o, *tiles);
    else
      result->segmentation = atrous::segment(*session->semantic, model, rgb, segment_options(o, model));
    return result;
  });
}

atrous_status atrous_segment_batch(atrous_session* session, const float* input, int32_t n, int32_t height,
                                   int32_t width, const atrous_segment_options* options,
                                   atrous_result** out) {
  if (out && n > 0) std::fill_n(out, n, nullptr);
  return guarded([&] {
    given(session, "session");
    const InUse in_use(session->in_use);
    given(input, "input");
    given(out, "the array for the results");
    const atrous::Model& model = session->named->model;
    if (!session->semantic)
      atrous::fail(atrous::ErrorCode::unsupported, model.architecture,
                   " finds instances, in photos alone: a batch is for label maps");
    if (n < 1 || height < 1 || width < 1)
      atrous::fail(atrous::ErrorCode::invalid_argument, "batch: expected at least one of each, found ", n,
                   " images of ", height, 'x', width);
    const atrous_segment_options o = options_of(options, "atrous_segment_options", first_segment_options);
    if (o.crf || o.tile || o.overlap)
      atrous::fail(atrous::ErrorCode::invalid_argument, "crf and tile are for a photo, a batch has none");
    const atrous::Shape shape{n, height, width, 3};
    auto all = atrous::segment(*session->semantic, model, atrous::ConstView{input, shape, shape.c},
                               segment_options(o, model));
    std::vector<std::unique_ptr<atrous_result>> results;
    for (atrous::Segmentation& one : all) {
      auto& result = results.emplace_back(std::make_unique<atrous_result>());
      result->named = session->named;
      result->photo_width = width;
      result->photo_height = height;
      result->segmentation = std::move(one);
    }
    for (std::size_t i = 0; i < results.size(); ++i) out[i] = results[i].release();
  });
}

void atrous_result_free(atrous_result* handle) { delete handle; }

atrous_status atrous_result_get_info(const atrous_result* handle, atrous_result_info* out) {
  return guarded([&] {
    const atrous::Segmentation& s = given(handle, "result").segmentation;
    atrous_result_info all{};
    all.width = s.labels.width;
    all.height = s.labels.height;
    all.labels = s.labels.labels.data();
    all.confidence = or_null(s.confidence.data(), !s.confidence.empty());
    all.probabilities = or_null(s.probabilities.data(), !s.probabilities.values().empty());
    all.logits = or_null(s.logits.data(), !s.logits.values().empty());
    all.input_width = s.input_width;
    all.input_height = s.input_height;
    all.instances = handle->instances ? static_cast<int32_t>(handle->instances->found.size()) : 0;
    all.prepare_seconds = s.prepare_seconds;
    all.network_seconds = s.network_seconds;
    all.label_seconds = s.label_seconds;
    fill(out, all, "atrous_result_info");
  });
}

atrous_status atrous_result_get_instance(const atrous_result* handle, int32_t index, atrous_instance* out) {
  return guarded([&] {
    const atrous::Instance& one = instance_at(given(handle, "result"), index);
    atrous_instance all{};
    all.x1 = one.box.x1;
    all.y1 = one.box.y1;
    all.x2 = one.box.x2;
    all.y2 = one.box.y2;
    all.score = one.score;
    all.label = one.label;
    fill(out, all, "atrous_instance");
  });
}

atrous_status atrous_result_get_mask(const atrous_result* handle, int32_t index, float threshold,
                                     uint8_t* mask, size_t size) {
  return guarded([&] {
    instance_at(given(handle, "result"), index);
    given(mask, "mask");
    const atrous::Instances& all = *handle->instances;
    const std::size_t expected = static_cast<std::size_t>(all.width) * static_cast<std::size_t>(all.height);
    if (size != expected)
      atrous::fail(atrous::ErrorCode::invalid_argument, "mask: expected ", expected, " bytes for ", all.width,
                   'x', all.height, ", found ", size);
    std::ranges::copy(
        atrous::pasted_mask(all, static_cast<std::size_t>(index), threshold == 0 ? 0.5F : threshold), mask);
  });
}

atrous_status atrous_draw(const atrous_result* result, atrous_drawing what, const atrous_image* photo,
                          const atrous_draw_options* options, atrous_picture** out) {
  return made(out, [&] {
    return picture_of(
        drawn(given(result, "result"), what, photo, options_of(options, "atrous_draw_options")));
  });
}

}  // extern "C"
