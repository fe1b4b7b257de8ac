#include "runtime/instances/detector.h"

#include "runtime/instances/detector_trace.h"
#include "runtime/segment/second_stage.h"

#include <algorithm>
#include <cmath>

#include "layers/base/checked.h"
#include "layers/base/error.h"
#include "layers/cpu/maps/roi_align_channelwise.h"
#include "layers/cpu/parallel.h"
#include "layers/graph/device.h"
#include "layers/ops/resize.h"
#include "runtime/engine/plan.h"
#include "runtime/engine/stopwatch.h"
#include "runtime/image/preprocess.h"
#include "runtime/instances/coco_mask.h"

namespace atrous {

namespace {

// Regions that the heads take at once, so that what lies between the graphs stays small, and what their
// number is rounded up to, so that few plans serve all numbers.
constexpr std::int64_t most_boxes = 256, boxes_step = 64, most_masks = 16, masks_step = 4;

const SecondStage& second_stage_of(const Model& model) {
  if (!model.second_stage)
    fail(ErrorCode::invalid_argument, "the ", model.architecture,
         " gives each pixel a class, it finds no instances: segment() runs it");
  return *model.second_stage;
}

std::optional<Session> session_of(const std::shared_ptr<const Program>& program, int threads) {
  if (!program) return std::nullopt;
  return std::optional<Session>(std::in_place, program, SessionOptions{.threads = threads});
}

std::int64_t rounded_up(std::int64_t count, std::int64_t step) { return (count + step - 1) / step * step; }

std::size_t bytes_of(const Shape& shape) {
  return static_cast<std::size_t>(checked_elements(shape)) * sizeof(float);
}

// Calls take(first, count) for shares of at most `most`.
template <class Take>
void in_shares(std::int64_t count, std::int64_t most, Take&& take) {
  for (std::int64_t first = 0; first < count; first += most) take(first, std::min(most, count - first));
}

DetectionOptions detection_options(const TwoStage& how, const InstanceOptions& options) {
  DetectionOptions detection = how.detections;
  detection.score = options.score.value_or(detection.score);
  detection.threshold = options.threshold.value_or(detection.threshold);
  detection.detections = options.detections.value_or(detection.detections);
  if (!(detection.score >= 0 && detection.score < 1))
    fail(ErrorCode::invalid_argument, "instances: expected a score from 0 to below 1, found ",
         detection.score);
  if (!(detection.threshold >= 0 && detection.threshold <= 1))
    fail(ErrorCode::invalid_argument, "instances: expected an IoU from 0 to 1, found ", detection.threshold);
  if (detection.detections < 1)
    fail(ErrorCode::invalid_argument, "instances: expected at least 1 a picture, found ",
         detection.detections);
  return detection;
}

Tensor copy_of(ConstView view) {
  Tensor out(view.shape);
  for (std::int64_t p = 0; p < view.shape.pixels(); ++p)
    std::copy_n(view.data + p * view.pitch, view.shape.c, out.data() + p * view.shape.c);
  return out;
}

bool is_on_device(const Session& session) { return ATROUS_HAS_CUDA && session.program().device; }

// Runs the box head on what the graph before it has made, a region a pixel. A region's cells are one after
// the other: the same memory as one pixel of all their channels, but where the plan leaves room between them,
// and on a device, where pixels have an alignment.
void run_on_maps(Session& before, Session& head) {
  const auto flat = [](const Shape& maps) { return Shape{1, maps.n, 1, maps.h * maps.w * maps.c}; };
  if (is_on_device(head)) {
    const ConstAnyView maps = before.output_on_device("maps");
    head.run(flat(maps.shape), [&](DeviceQueue& queue, AnyView to) { queue.flatten(maps, to); });
    return;
  }
  ConstView maps = before.output("maps");
  Tensor joined;
  if (!maps.dense()) {
    joined = copy_of(maps);
    maps = joined.view();
  }
  const Shape input = flat(maps.shape);
  head.run(ConstView{maps.data, input, input.c});
}

// Of the program's first output among its graph's values.
std::size_t index_of_output(const Program& program) {
  return static_cast<std::size_t>(program.graph.outputs.front().second);
}

// Of a region's cells, as the box head takes them: the maps', or what its convolutions make of them.
std::int64_t region_channels(const TwoStage& how, const Program* box_maps) {
  return box_maps ? box_maps->graph.values[index_of_output(*box_maps)].channels : how.map_channels;
}

LabelMap empty_map(const Instances& instances) {
  LabelMap map{instances.width, instances.height, {}};
  map.labels.resize(static_cast<std::size_t>(checked_product({map.width, map.height}, "label map")));
  return map;
}

}  // namespace

std::vector<Stage> stages_of(const Model& model, std::int64_t height, std::int64_t width) try {
  if (!model.second_stage) return {{model.program, {1, height, width, 3}}};
  const auto& [how, box_maps, box_head, mask_head] = *model.second_stage;
  const Extent size = bounded_extent(how.sides, {height, width});
  const std::int64_t cells = how.box_cells;
  std::vector<Stage> stages{{model.program, {1, size.h, size.w, 3}}};
  if (box_maps) stages.push_back({box_maps, {most_boxes, cells, cells, how.map_channels}});
  stages.push_back({box_head, {1, most_boxes, 1, cells * cells * region_channels(how, box_maps.get())}});
  if (mask_head)
    stages.push_back({mask_head, {most_masks, how.mask_cells, how.mask_cells, how.map_channels}});
  return stages;
} catch (...) {
  rethrow_as_error();
}

BoundedSides bounded_sides(const ResizeRule& rule, const BoundedSides& usual, int width, int height) try {
  if (rule.kind == ResizeRule::Kind::none) return {std::min(width, height), std::max(width, height), true};
  if (rule.kind == ResizeRule::Kind::exact)
    fail(ErrorCode::invalid_argument,
         "instances: expected a shorter side, since pictures keep their "
         "proportions, found a size of ",
         rule.width, 'x', rule.height);
  if (rule.kind == ResizeRule::Kind::longer_side)
    fail(ErrorCode::invalid_argument, "instances: expected a shorter side, found a longer one of ",
         rule.width);
  BoundedSides sides = usual;
  sides.longer = std::max(sides.longer, sides.longer * rule.width / sides.shorter);
  sides.shorter = rule.width;
  return sides;
} catch (...) {
  rethrow_as_error();
}

std::string in_words(const BoundedSides& sides) try {
  return str_cat("shorter side ", sides.shorter, ", longer side at most ", sides.longer);
} catch (...) {
  rethrow_as_error();
}

Extent bounded_extent(const BoundedSides& sides, Extent picture) try {
  if (sides.shorter < 1 || sides.longer < 1)
    fail(ErrorCode::invalid_argument, "instances: sides of ", sides.shorter, " and ", sides.longer,
         " pixels: expected at least 1");
  if (picture.h < 1 || picture.w < 1)
    fail(ErrorCode::invalid_argument, "instances: a picture of ", picture.w, "x", picture.h);
  const std::int64_t least = std::min(picture.h, picture.w), most = std::max(picture.h, picture.w);
  double scale = 0;
  if (sides.in_double) {
    scale = std::min(static_cast<double>(sides.shorter) / static_cast<double>(least),
                     static_cast<double>(sides.longer) / static_cast<double>(most));
  } else {
    const auto ratio = [](std::int64_t side, std::int64_t of) {
      const float reciprocal = 1.0F / static_cast<float>(of);
      return reciprocal * static_cast<float>(side);
    };
    scale = static_cast<double>(std::min(ratio(sides.shorter, least), ratio(sides.longer, most)));
  }
  const auto scaled = [&](std::int64_t side) {
    return std::max<std::int64_t>(static_cast<std::int64_t>(std::floor(static_cast<double>(side) * scale)),
                                  1);
  };
  return {scaled(picture.h), scaled(picture.w)};
} catch (...) {
  rethrow_as_error();
}

Tensor prepare_bounded(const Image& photo, const Preparation& preparation, Extent size, int threads) try {
  check(photo, "photo");
  if (photo.channels != 3)
    fail(ErrorCode::invalid_argument, "photo: expected 3 channels, found ", photo.channels);
  const auto table = normalisation(preparation);
  const auto source = source_channels(preparation.order);
  std::vector<ResizeTap> rows(static_cast<std::size_t>(size.h)), columns(static_cast<std::size_t>(size.w));
  resize_taps({}, photo.height, rows);
  resize_taps({}, photo.width, columns);
  Tensor out({1, size.h, size.w, 3});
  parallel_for(resolve_threads(threads), size.h, [&](std::int64_t y) {
    const ResizeTap& row = rows[static_cast<std::size_t>(y)];
    const std::uint8_t *upper = photo.row(static_cast<int>(row.low)),
                       *lower = photo.row(static_cast<int>(row.high));
    float* to = out.view().pixel(0, y, 0);
    for (const ResizeTap& column : columns) {
      const std::int64_t left = 3 * column.low, right = 3 * column.high;
      for (std::size_t c = 0; c < 3; ++c) {
        const auto& value = table[c];
        const auto from = static_cast<std::int64_t>(source[c]);
        const float above =
                        (1 - column.f) * value[upper[left + from]] + column.f * value[upper[right + from]],
                    below =
                        (1 - column.f) * value[lower[left + from]] + column.f * value[lower[right + from]];
        *to++ = (1 - row.f) * above + row.f * below;
      }
    }
  });
  return out;
} catch (...) {
  rethrow_as_error();
}

Detector::Detector(const Model& model, const SessionOptions& options) try
    : model_(&model),
      trunk_(model.program, options),
      box_maps_(session_of(second_stage_of(model).box_maps, options.threads)),
      box_head_(session_of(model.second_stage->box_head, options.threads)),
      mask_head_(session_of(model.second_stage->mask_head, options.threads)) {
} catch (...) {
  rethrow_as_error();
}

std::size_t Detector::memory_bytes() const try {
  std::size_t bytes = model_->packed_bytes() + trunk_.arena_bytes();
  for (const auto* session : {&box_maps_, &box_head_, &mask_head_})
    if (*session) bytes += (*session)->arena_bytes();
  return bytes + pooled_.values().size_bytes();
} catch (...) {
  rethrow_as_error();
}

// What the limit has to leave beside the trunk: the heads' weights and arenas, and the regions on their way.
std::size_t Detector::heads_bytes() {
  const TwoStage& how = model_->second_stage->how;
  const Shape boxes{most_boxes, how.box_cells, how.box_cells, how.map_channels},
      masks{most_masks, how.mask_cells, how.mask_cells, how.map_channels};
  std::size_t bytes = model_->packed_bytes() - trunk_.program().packed_bytes();
  if (!is_on_device(trunk_)) bytes += std::max(bytes_of(boxes), bytes_of(masks));
  Shape flat = boxes;
  if (box_maps_) {
    flat.c = region_channels(how, &box_maps_->program());
    const Plan plan = box_maps_->plan(boxes);
    const Plan::Place& place = plan.places[index_of_output(box_maps_->program())];
    bytes += plan.arena_bytes();
    if (!is_on_device(*box_maps_) && place.pitch > flat.c)
      bytes += bytes_of(flat);  // run_on_maps() joins them
  }
  bytes += box_head_->plan({1, most_boxes, 1, flat.h * flat.w * flat.c}).arena_bytes();
  if (mask_head_) bytes += mask_head_->plan(masks).arena_bytes();
  return bytes +
         bytes_of({how.proposals.proposals, 1, 1, 5 * static_cast<std::int64_t>(model_->classes.size())});
}

// Runs a head on the regions, cut from the maps of the trunk's last run, and on zeros up to as many as
// `input` has: [n, cells, cells, c], or a region a pixel, [1, n, 1, cells * cells * c], which here is the
// same memory. On a device nothing leaves it. The regions stay in pooled_, there only where they are to be
// kept.
void Detector::run_on_regions(Session& head, const Shape& input, std::span<const Box> regions,
                              std::int64_t cells, bool keep_pooled) {
  const TwoStage& how = model_->second_stage->how;
  std::vector<MapRegion> places;
  for (const Box& box : regions) places.push_back({{box.x1, box.y1, box.x2, box.y2}, pyramid_map_of(box)});
  if (is_on_device(head)) {
    std::array<RoiMap<ConstAnyView>, pyramid_maps> maps;
    for (int i = 0; i < pyramid_maps; ++i)
      maps[static_cast<std::size_t>(i)] = {how.pooling(cells, i), trunk_.output_on_device(map_name(i))};
    head.run(input, [&](DeviceQueue& queue, AnyView to) {
      queue.roi_align(maps, places, to);
      if (!keep_pooled) return;
      pooled_ = Tensor(input);
      queue.download(to, pooled_.view());
    });
    return;
  }
  std::array<RoiMap<ConstView>, pyramid_maps> maps;
  for (int i = 0; i < pyramid_maps; ++i)
    maps[static_cast<std::size_t>(i)] = {how.pooling(cells, i), trunk_.output(map_name(i))};
  const std::int64_t values = input.pixels() * input.c, each = cells * cells * how.map_channels,
                     taken = std::ssize(regions) * each;
  if (pooled_.shape().pixels() * pooled_.shape().c < values) {
    pooled_ = {};
    pooled_ = Tensor(input);
  }
  roi_align_channelwise(
      maps, places, {pooled_.data(), {std::ssize(regions), cells, cells, how.map_channels}, how.map_channels},
      trunk_.threads());
  std::fill_n(pooled_.data() + taken, values - taken, 0.0F);
  head.run(ConstView{pooled_.data(), input, input.c});
}

void Detector::run_box_head(std::span<const Proposal> proposals, Tensor& classes, Tensor& deltas,
                            DetectorTrace* trace) {
  const TwoStage& how = model_->second_stage->how;
  const Graph& head = box_head_->program().graph;
  const std::int64_t all = std::ssize(proposals),
                     categories = head.values[static_cast<std::size_t>(head.outputs.front().second)].channels;
  const std::int64_t cells = how.box_cells;
  classes = Tensor({all, 1, 1, categories});
  deltas = Tensor({all, 1, 1, 4 * categories});
  if (trace) trace->pooled = Tensor({all, cells, cells, how.map_channels});
  in_shares(all, most_boxes, [&](std::int64_t first, std::int64_t count) {
    std::vector<Box> boxes;
    for (std::int64_t n = 0; n < count; ++n)
      boxes.push_back(proposals[static_cast<std::size_t>(first + n)].box);
    const std::int64_t rows = rounded_up(count, boxes_step);
    const std::int64_t each = cells * cells * how.map_channels;
    const Shape maps{rows, cells, cells, how.map_channels}, flat{1, rows, 1, each};
    run_on_regions(box_maps_ ? *box_maps_ : *box_head_, box_maps_ ? maps : flat, boxes, cells,
                   trace != nullptr);
    if (trace) std::copy_n(pooled_.data(), count * each, trace->pooled.data() + first * each);
    if (box_maps_) run_on_maps(*box_maps_, *box_head_);
    macs_ += box_head_->macs() + (box_maps_ ? box_maps_->macs() : 0);
    const ConstView found = box_head_->output("classes"), moved = box_head_->output("deltas");
    for (std::int64_t n = 0; n < count; ++n) {
      std::copy_n(found.pixel(0, n, 0), categories, classes.view().pixel(first + n, 0, 0));
      std::copy_n(moved.pixel(0, n, 0), 4 * categories, deltas.view().pixel(first + n, 0, 0));
    }
  });
}

void Detector::run_mask_head(std::span<const Detection> detections, Instances& instances) {
  const TwoStage& how = model_->second_stage->how;
  in_shares(std::ssize(detections), most_masks, [&](std::int64_t first, std::int64_t count) {
    std::vector<Box> boxes;
    for (std::int64_t n = 0; n < count; ++n)
      boxes.push_back(detections[static_cast<std::size_t>(first + n)].box);
    const Shape input{rounded_up(count, masks_step), how.mask_cells, how.mask_cells, how.map_channels};
    run_on_regions(*mask_head_, input, boxes, how.mask_cells, false);
    macs_ += mask_head_->macs();
    const ConstView logits = mask_head_->output("masks");
    instances.mask_side = logits.shape.w;
    for (std::int64_t n = 0; n < count; ++n) {
      Instance& instance = instances.found[static_cast<std::size_t>(first + n)];
      for (std::int64_t p = 0; p < logits.shape.h * logits.shape.w; ++p) {
        const float logit = logits.pixel(n, p / logits.shape.w, p % logits.shape.w)[instance.label];
        if (!std::isfinite(logit))
          fail(ErrorCode::not_finite, "the network's mask of instance ", first + n, " holds ", logit);
        instance.mask.push_back(1 / (1 + std::exp(-logit)));
      }
    }
  });
}

Instances Detector::detect(const Image& photo, const InstanceOptions& options, DetectorTrace* trace) try {
  const TwoStage& how = model_->second_stage->how;
  const DetectionOptions detection = detection_options(how, options);
  check(photo, "photo");
  Stopwatch watch;
  Instances result{.width = photo.width, .height = photo.height};
  const Extent original{photo.height, photo.width},
      size = bounded_extent(options.sides.value_or(how.sides), original);
  const Shape input{1, size.h, size.w, 3};
  trunk_.set_aside(checked_add(heads_bytes(), bytes_of(input), "memory"));
  trunk_.reserve(input);
  result.input_height = static_cast<int>(size.h);
  result.input_width = static_cast<int>(size.w);
  {
    const Tensor prepared = prepare_bounded(photo, model_->preparation, size, trunk_.threads());
    result.prepare_seconds = watch.lap();
    trunk_.run(prepared.view());
    if (trace) trace->input = copy_of(prepared.view());
  }
  result.trunk_seconds = watch.lap();
  macs_ = trunk_.macs();

  std::vector<ProposalMap> maps;
  for (int i = 0; i < proposal_maps; ++i)
    maps.push_back({trunk_.output(objectness_name(i)), trunk_.output(deltas_name(i))});
  const Shape padded = padded_shape(trunk_.program().padding, input);
  const std::vector<Candidate> candidates =
      proposal_candidates(maps, {padded.h, padded.w}, size, how.proposals);
  const std::vector<Proposal> proposals = select_proposals(candidates, how.proposals);
  Tensor classes, deltas;
  run_box_head(proposals, classes, deltas, trace);
  const std::vector<Detection> detections =
      select_detections(classes.view(), deltas.view(), proposals, size, detection);
  for (const Detection& d : detections)
    result.found.push_back(
        {.box = rescale_box(d.box, size, original), .score = d.score, .label = d.label, .mask = {}});
  if (mask_head_) run_mask_head(detections, result);
  result.head_seconds = watch.lap();
  result.macs = macs_;
  if (trace) {
    for (int i = 0; i < pyramid_maps; ++i)
      trace->maps[static_cast<std::size_t>(i)] = copy_of(trunk_.output(map_name(i)));
    trace->candidates = candidates;
    trace->proposals = proposals;
    trace->classes = std::move(classes);
    trace->deltas = std::move(deltas);
    trace->detections = detections;
  }
  return result;
} catch (...) {
  rethrow_as_error();
}

PastedPart pasted_part(const Instances& instances, std::size_t index) try {
  if (index >= instances.found.size())
    fail(ErrorCode::invalid_argument, "instance ", index, " of ", instances.found.size());
  const Instance& instance = instances.found[index];
  if (instance.mask.empty())
    fail(ErrorCode::invalid_argument, "instance ", index, ": the network finds boxes, no masks");
  const PastedCorners at = pasted_corners(instance.box, instances.mask_side);
  PastedPart part;
  part.left = std::clamp<std::int64_t>(at.x1, 0, instances.width);
  part.top = std::clamp<std::int64_t>(at.y1, 0, instances.height);
  const std::int64_t right = std::clamp<std::int64_t>(std::max(at.x2, at.x1) + 1, part.left, instances.width),
                     end = std::clamp<std::int64_t>(std::max(at.y2, at.y1) + 1, part.top, instances.height);
  part.size = {end - part.top, right - part.left};
  part.probability.resize(static_cast<std::size_t>(part.size.h * part.size.w));
  paste_mask(instance.mask, instances.mask_side,
             {at.x1 - part.left, at.y1 - part.top, at.x2 - part.left, at.y2 - part.top}, part.size,
             part.probability);
  return part;
} catch (...) {
  rethrow_as_error();
}

void paint_instance(const Instances& instances, std::size_t index, std::uint8_t value, LabelMap& map,
                    float threshold) try {
  check(map, "label map");
  if (map.width != instances.width || map.height != instances.height)
    fail(ErrorCode::invalid_argument, "instances of ", instances.width, "x", instances.height,
         ", but a label map of ", map.width, "x", map.height);
  const PastedPart part = pasted_part(instances, index);
  const float* probability = part.probability.data();
  for (std::int64_t y = 0; y < part.size.h; ++y) {
    std::uint8_t* row = map.row(static_cast<int>(part.top + y)) + part.left;
    for (std::int64_t x = 0; x < part.size.w; ++x)
      if (*probability++ >= threshold) row[x] = value;
  }
} catch (...) {
  rethrow_as_error();
}

std::vector<std::uint8_t> pasted_mask(const Instances& instances, std::size_t index, float threshold) try {
  LabelMap map = empty_map(instances);
  paint_instance(instances, index, 1, map, threshold);
  return std::move(map.labels);
} catch (...) {
  rethrow_as_error();
}

std::vector<std::uint32_t> pasted_runs(const Instances& instances, std::size_t index, float threshold) try {
  const PastedPart part = pasted_part(instances, index);
  std::vector<CocoSpan> spans;  // down the columns of the part
  for (std::int64_t x = 0; x < part.size.w; ++x)
    for (std::int64_t y = 0; y < part.size.h; ++y) {
      if (!(part.probability[static_cast<std::size_t>(y * part.size.w + x)] >= threshold)) continue;
      const auto pixel = static_cast<std::uint32_t>((x + part.left) * instances.height + y + part.top);
      if (spans.empty() || spans.back().end != pixel) spans.push_back({pixel, pixel});
      ++spans.back().end;
    }
  return coco_runs(
      spans, static_cast<std::uint32_t>(instances.width) * static_cast<std::uint32_t>(instances.height));
} catch (...) {
  rethrow_as_error();
}

LabelMap painted_labels(const Instances& instances, float threshold) try {
  LabelMap map = empty_map(instances);
  for (std::size_t i = instances.found.size(); i-- > 0;)
    paint_instance(instances, i, static_cast<std::uint8_t>(instances.found[i].label), map, threshold);
  return map;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
