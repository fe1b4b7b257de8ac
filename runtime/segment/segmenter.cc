#include "runtime/segment/segmenter.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "layers/base/checked.h"
#include "layers/cpu/maps/channelwise.h"
#include "layers/cpu/maps/finite.h"
#include "layers/ops/softmax.h"
#include "runtime/engine/plan.h"
#include "runtime/engine/set_aside.h"
#include "runtime/engine/stopwatch.h"
#include "runtime/image/pillow_resize.h"
#include "runtime/image/preprocess.h"

namespace atrous {

namespace {

// The part of a grown map that does not lie on padding.
Tensor cropped(ConstView low, const Growth& growth, int height, int width) {
  const Resize layer{.mode = ResizeMode::bilinear, .align_corners = growth.align_corners};
  std::vector<ResizeTap> rows(static_cast<std::size_t>(height)), columns(static_cast<std::size_t>(width));
  resize_taps(layer, low.shape.h, growth.out_h, rows);
  resize_taps(layer, low.shape.w, growth.out_w, columns);
  Tensor out({1, height, width, low.shape.c});
  resize_reference(low, rows, columns, out.view());
  return out;
}

Tensor bilinear(Session& session, ConstView low, int height, int width) {
  const Growth growth = session.growth(height, width);
  const auto whole = [](double size) { return static_cast<std::int64_t>(std::ceil(size)); };
  if (whole(growth.out_h) != height || whole(growth.out_w) != width)
    return cropped(low, growth, height, width);
  Tensor out({1, height, width, low.shape.c});
  const Resize layer{.mode = ResizeMode::bilinear, .align_corners = growth.align_corners};
  const auto kernel = make_resize_channelwise(layer, session.program().isa);
  const Shape shapes[] = {low.shape};
  const ConstAnyView inputs[] = {any_view(low)};
  const std::size_t bytes = kernel->workspace_bytes(shapes, out.shape(), session.threads());
  kernel->run({inputs, any_view(out.view()), session.scratch(bytes), session.threads()});
  return out;
}

Tensor transposed(ConstView low, std::int64_t factor, int height, int width) {
  const ConvTranspose2d layer = bilinear_upsampling(low.shape.c, factor);
  Tensor grown(output_shape(layer, low.shape));
  conv_transpose2d_reference(layer, low, grown.view());
  Tensor out({1, height, width, low.shape.c});
  if (height > grown.shape().h || width > grown.shape().w)
    fail(ErrorCode::invalid_argument, "transposed upsampling by ", factor, " gives ", grown.shape(),
         ", less than the ", height, " x ", width, " asked for");
  for (std::int64_t y = 0; y < height; ++y)
    std::copy_n(grown.view().pixel(0, y, 0), width * low.shape.c, out.view().pixel(0, y, 0));
  return out;
}

// Room for labels and confidences, written by `write(labels, confidences)`.
template <class Fill>
LabelMap label_map(int height, int width, std::vector<float>* confidence, Fill&& write) {
  if (height < 1 || width < 1)
    fail(ErrorCode::invalid_argument, "label map: ", width, "x", height, " has no pixels");
  LabelMap map{width, height, {}};
  const auto pixels = static_cast<std::size_t>(checked_product({height, width}, "label map"));
  map.labels.resize(pixels);
  if (confidence) confidence->resize(pixels);
  write(std::span<std::uint8_t>(map.labels), confidence ? std::span<float>(*confidence) : std::span<float>());
  return map;
}

Shape input_shape(const ResizeRule& rule, const Image& photo) {
  if (rule.center_crop > 0) return {1, rule.center_crop, rule.center_crop, 3};
  const auto [width, height] = resized_size(rule, photo.width, photo.height);
  return {1, height, width, 3};
}

// full_logits(), of a binary network as those of its two classes: 0 and its logit.
Tensor logits_of_classes(Session& session, const Model& model, std::int64_t n, int height, int width,
                         Upsampling upsampling, const std::string& output) {
  Tensor logits = full_logits(session, model, n, height, width, upsampling, output);
  if (model.answer().decision != Decision::sigmoid) return logits;
  const Shape& s = logits.shape();
  Tensor out({s.n, s.h, s.w, 2});
  for (std::int64_t p = 0; p < s.pixels(); ++p) {
    out.data()[2 * p] = 0;
    out.data()[2 * p + 1] = logits.data()[p];
  }
  return out;
}

// What follows the network, for one image of the last run.
void finish(Session& session, const Model& model, std::int64_t n, int height, int width,
            const SegmentOptions& options, Segmentation& result) {
  const float threshold = threshold_logit(model, options.threshold);
  std::vector<float>* confidence = options.confidence ? &result.confidence : nullptr;
  if (options.logits || options.upsampling == Upsampling::transposed)
    result.logits = full_logits(session, model, n, result.input_height, result.input_width,
                                options.upsampling, options.output);
  if (options.upsampling == Upsampling::transposed)
    result.labels = label_map(height, width, confidence, [&](auto labels, auto confidences) {
      session.label(result.logits.view(), {}, height, width, labels, confidences, threshold);
    });
  else
    result.labels = label(session, n, height, width, confidence, options.output, threshold);
  if (!options.logits) result.logits = {};
  if (!options.probabilities) return;
  result.probabilities =
      logits_of_classes(session, model, n, height, width, options.upsampling, options.output);
  softmax_reference({}, result.probabilities.view(), result.probabilities.view());
}

// Whether labels come from several runs of the network. Or an error.
bool averages(const SegmentOptions& options) {
  if (!options.protocol) return false;
  check(*options.protocol);
  if (is_single_run(*options.protocol)) return false;
  if (options.logits)
    fail(ErrorCode::invalid_argument, "a test protocol averages probabilities: it has no logits to keep");
  if (options.upsampling != Upsampling::bilinear)
    fail(ErrorCode::invalid_argument, "the logits of a test protocol grow by bilinear interpolation alone");
  return true;
}

// A value that is no number spreads to every pixel that sees it, and argmax would still name a class there.
void check_finite(Isa isa, ConstView input) {
  if (all_finite(isa, input)) return;
  for (std::int64_t p = 0; p < input.shape.pixels(); ++p)
    for (std::int64_t c = 0; c < input.shape.c; ++c)
      if (!std::isfinite(input.data[p * input.pitch + c])) {
        const std::int64_t x = p % input.shape.w, y = p / input.shape.w % input.shape.h;
        fail(ErrorCode::invalid_argument, "input: the value at image ", p / input.shape.w / input.shape.h,
             ", channel ", c, ", row ", y, ", column ", x, " is ", input.data[p * input.pitch + c]);
      }
}

// Segments input that is normalised: run(watch) runs the network, and laps the watch before it.
template <class Run>
std::vector<Segmentation> segment_input(Session& session, const Model& model, const Shape& input,
                                        const SegmentOptions& options, Run&& run) {
  check_runs(session, model);
  threshold_logit(model, options.threshold);
  if (averages(options))
    fail(ErrorCode::invalid_argument, "a test protocol resizes a photo, not input that is normalised");
  Stopwatch watch;
  run(watch);
  const double network_seconds = watch.lap() / static_cast<double>(input.n);
  std::vector<Segmentation> results;
  for (std::int64_t n = 0; n < input.n; ++n) {
    Segmentation result;
    result.input_height = checked_cast<int>(input.h, "input height");
    result.input_width = checked_cast<int>(input.w, "input width");
    result.network_seconds = network_seconds;
    finish(session, model, n, result.input_height, result.input_width, options, result);
    result.label_seconds = watch.lap();
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace

void check_runs(const Session& session, const Model& model) try {
  if (model.task() != Task::semantic)
    fail(ErrorCode::unsupported, "the ", model.architecture,
         " finds instances, it gives no pixel a class: a Detector runs it, no Session");
  if (&session.program() != model.program.get())
    fail(ErrorCode::invalid_argument, "the session runs another model's network, not the ",
         model.architecture, " with ", model.classes.size(), " classes that is given");
} catch (...) {
  rethrow_as_error();
}

Prepared prepare(const Image& photo, const Preparation& preparation, int threads) try {
  Prepared prepared;
  prepared.picture = apply(preparation.resize, photo, threads);
  prepared.input = Tensor({1, prepared.picture.height, prepared.picture.width, 3});
  normalise(prepared.picture, preparation, prepared.input.view());
  return prepared;
} catch (...) {
  rethrow_as_error();
}

LabelMap label(Session& session, std::int64_t n, int height, int width, std::vector<float>* confidence,
               const std::string& output, float threshold) try {
  return label_map(height, width, confidence, [&](auto labels, auto confidences) {
    session.label(n, height, width, labels, confidences, output, threshold);
  });
} catch (...) {
  rethrow_as_error();
}

Tensor full_logits(Session& session, const Model& model, std::int64_t n, int height, int width,
                   Upsampling upsampling, const std::string& output) try {
  check_runs(session, model);
  session.check_finite(n, output);
  const ConstView low = image_of(session.output(output), n);
  const bool is_grown = model.output_stride == 1;  // by the network itself
  return upsampling == Upsampling::bilinear || is_grown ? bilinear(session, low, height, width)
                                                        : transposed(low, model.output_stride, height, width);
} catch (...) {
  rethrow_as_error();
}

void labels_of(ConstView probabilities, std::optional<double> threshold, std::span<std::uint8_t> labels,
               std::span<float> confidence) try {
  check(probabilities, "probabilities");
  const std::int64_t classes = probabilities.shape.c;
  const auto pixels = static_cast<std::size_t>(probabilities.shape.pixels());
  if (labels.size() != pixels || (!confidence.empty() && confidence.size() != pixels))
    fail(ErrorCode::invalid_argument, "room for ", labels.size(), " labels and ", confidence.size(),
         " confidences of ", pixels, " pixels");
  if (classes > 256) fail(ErrorCode::invalid_argument, "labels of ", classes, " classes: at most 256");
  if (threshold && classes != 2)
    fail(ErrorCode::invalid_argument, "a threshold for ", classes, " classes: expected 2");
  for (std::size_t p = 0; p < pixels; ++p) {
    const float* row = probabilities.data + static_cast<std::int64_t>(p) * probabilities.pitch;
    const std::ptrdiff_t label =
        threshold ? static_cast<double>(row[1]) > *threshold : std::max_element(row, row + classes) - row;
    labels[p] = static_cast<std::uint8_t>(label);
    if (!confidence.empty()) confidence[p] = row[label];
  }
} catch (...) {
  rethrow_as_error();
}

LabelMap label(const Model& model, ConstView probabilities, std::optional<double> threshold,
               std::vector<float>* confidence) try {
  if (model.answer().decision == Decision::sigmoid && !threshold) threshold = 0.5;
  const Shape& s = probabilities.shape;
  return label_map(
      checked_cast<int>(s.h, "label map height"), checked_cast<int>(s.w, "label map width"), confidence,
      [&](auto labels, auto confidences) { labels_of(probabilities, threshold, labels, confidences); });
} catch (...) {
  rethrow_as_error();
}

std::size_t sharp_label_bytes(const Model& model, std::int64_t height, std::int64_t width) try {
  const std::int64_t classes = std::max<std::int64_t>(model.logits(), 2);
  return dense_crf_bytes(height * width, classes) +
         static_cast<std::size_t>(checked_elements({1, height, width, classes})) * sizeof(float);
} catch (...) {
  rethrow_as_error();
}

void sharpen(Session& session, const Image& under, View probabilities, bool logits,
             const CrfParameters& crf) try {
  const std::size_t set_aside = dense_crf_bytes(probabilities.shape.pixels(), probabilities.shape.c),
                    room = session.room();
  dense_crf(under, probabilities,
            {.parameters = crf,
             .logits = logits,
             .memory_limit = room > ~set_aside ? 0 : room + set_aside,
             .isa = session.program().isa,
             .threads = session.threads()});
} catch (...) {
  rethrow_as_error();
}

LabelMap sharp_label(Session& session, const Model& model, std::int64_t n, const Image& under,
                     const CrfParameters& crf, std::vector<float>* confidence, const std::string& output,
                     std::optional<double> threshold, Upsampling upsampling) try {
  Tensor q = logits_of_classes(session, model, n, under.height, under.width, upsampling, output);
  sharpen(session, under, q.view(), true, crf);
  return label(model, q.view(), threshold, confidence);
} catch (...) {
  rethrow_as_error();
}

Segmentation segment(Session& session, const Model& model, const Image& photo,
                     const SegmentOptions& options) try {
  check_runs(session, model);
  threshold_logit(model, options.threshold);  // or an error, before any work
  const bool several = averages(options);
  Stopwatch watch;
  check(photo, "photo");
  Preparation preparation = model.preparation;
  preparation.resize = resize_rule(options.resize, options.protocol, model);
  const ResizeRule& rule = preparation.resize;
  const bool as_it_is = leaves_alone(rule, photo.width, photo.height);
  const bool at_input = options.at_input || rule.center_crop > 0;
  const Shape input = input_shape(rule, photo);
  const PixelSize seen_size{static_cast<int>(input.w), static_cast<int>(input.h)},
      size = at_input ? seen_size : PixelSize{photo.width, photo.height};
  // A CRF's work and all probabilities count from the start: too large is known before anything is made.
  const std::size_t crf_bytes = options.crf ? sharp_label_bytes(model, size.height, size.width) : 0;
  const std::size_t bytes =
      std::max(crf_bytes, several ? protocol_bytes(*options.protocol, model, seen_size, size) : 0);
  const SetAside copies(
      session, bytes + (as_it_is ? 0 : apply_bytes(rule, photo.width, photo.height, photo.channels)));
  if (!several) session.reserve(input);

  Segmentation result;
  if (!as_it_is) result.resized = apply(rule, photo, session.threads());
  const Image& seen = picture_under(result, photo);
  result.input_height = seen.height;
  result.input_width = seen.width;
  result.prepare_seconds = watch.lap();
  Tensor q;
  if (several) {
    q = protocol_probabilities(session, model, seen, preparation, size, *options.protocol, options.output);
    if (options.protocol->tile_width > 0) {
      result.input_height = options.protocol->tile_height;
      result.input_width = options.protocol->tile_width;
    }
  } else {
    session.run(seen, preparation);
  }
  if (!at_input) result.resized.reset();
  session.set_aside(crf_bytes + (result.resized ? result.resized->pixels.size() : 0));
  result.network_seconds = watch.lap();
  const Image& under = picture_under(result, photo);
  if (options.crf && options.logits)
    result.logits = full_logits(session, model, 0, result.input_height, result.input_width,
                                options.upsampling, options.output);
  if (options.crf && !several)
    q = logits_of_classes(session, model, 0, under.height, under.width, options.upsampling, options.output);
  if (options.crf) sharpen(session, under, q.view(), !several, *options.crf);
  if (options.crf || several) {
    result.labels =
        label(model, q.view(), options.threshold, options.confidence ? &result.confidence : nullptr);
    if (options.probabilities) result.probabilities = std::move(q);
  } else {
    finish(session, model, 0, under.height, under.width, options, result);
  }
  result.label_seconds = watch.lap();
  return result;
} catch (...) {
  rethrow_as_error();
}

std::vector<Segmentation> segment(Session& session, const Model& model, ConstView input,
                                  const SegmentOptions& options) try {
  return segment_input(session, model, input.shape, options, [&](Stopwatch& watch) {
    check(input, "input");
    check_finite(session.program().isa, input);
    watch.lap();
    session.run(input);
  });
} catch (...) {
  rethrow_as_error();
}

std::vector<Segmentation> segment(Session& session, const Model& model, const Shape& input,
                                  const HostInput& fill, const SegmentOptions& options) try {
  return segment_input(session, model, input, options, [&](Stopwatch& watch) {
    session.run(input, [&](View place) {
      call_host(fill, place);
      check_finite(session.program().isa, place);
      watch.lap();
    });
  });
} catch (...) {
  rethrow_as_error();
}

void ClassShares::add(std::span<const std::uint8_t> labels, std::span<const float> confidence) try {
  if (!confidence.empty() && confidence.size() != labels.size())
    fail(ErrorCode::invalid_argument, "class shares: ", labels.size(), " labels, but ", confidence.size(),
         " confidences");
  for (std::size_t p = 0; p < labels.size(); ++p) {
    ClassShare& share = by_class_[labels[p]];
    ++share.pixels;
    if (!confidence.empty()) share.confidence += static_cast<double>(confidence[p]);
  }
  pixels_ += std::ssize(labels);
} catch (...) {
  rethrow_as_error();
}

std::vector<ClassShare> ClassShares::sorted() const try {
  std::vector<ClassShare> found;
  for (int c = 0; c < 256; ++c) {
    ClassShare share = by_class_[static_cast<std::size_t>(c)];
    if (share.pixels == 0) continue;
    share.index = c;
    share.confidence /= static_cast<double>(share.pixels);
    share.share = static_cast<double>(share.pixels) / static_cast<double>(pixels_);
    found.push_back(share);
  }
  std::ranges::stable_sort(found, std::greater(), &ClassShare::pixels);
  return found;
} catch (...) {
  rethrow_as_error();
}

std::vector<ClassShare> class_shares(const Segmentation& segmentation) try {
  ClassShares shares;
  shares.add(segmentation.labels.labels, segmentation.confidence);
  return shares.sorted();
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
