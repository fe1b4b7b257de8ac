// What a photo may be asked for beside one run of the network: a dense CRF, a test protocol, tiles.
#include <limits>

#include "layers/base/checked.h"
#include "runtime/c/handles.h"

namespace atrous::c {

namespace {

// `given`, or where that is 0 the default.
float or_default(const char* what, double given, float otherwise) {
  if (given == 0) return otherwise;
  if (!(given > 0 && given <= std::numeric_limits<float>::max()))
    fail(ErrorCode::invalid_argument, what, ": expected a number above 0, found ", given);
  return static_cast<float>(given);
}

// A weight below 0 leaves the kernel out.
float weight_of(const char* what, double given, float otherwise) {
  return given < 0 ? 0 : or_default(what, given, otherwise);
}

// `given`, 0 for the default, below 0 for none.
int overlap_of(std::int32_t given, int otherwise) { return given == 0 ? otherwise : std::max(given, 0); }

}  // namespace

CrfParameters crf_parameters(const atrous_crf_options* given, const CrfParameters& otherwise) {
  const atrous_crf_options o = options_of(given, "atrous_crf_options");
  refuse_reserved(o.reserved);
  CrfParameters out = otherwise;
  out.gaussian = {weight_of("gaussian_weight", o.gaussian_weight, otherwise.gaussian.weight),
                  or_default("gaussian_xy", o.gaussian_xy, otherwise.gaussian.xy)};
  out.bilateral = {weight_of("bilateral_weight", o.bilateral_weight, otherwise.bilateral.weight),
                   or_default("bilateral_xy", o.bilateral_xy, otherwise.bilateral.xy),
                   or_default("bilateral_rgb", o.bilateral_rgb, otherwise.bilateral.rgb)};
  if (o.iterations != 0) out.iterations = std::max(o.iterations, 0);
  check(out);
  return out;
}

CrfParameters crf_of_model(const atrous_crf_options* given, const Model& model) {
  const CrfParameters out = crf_parameters(given, model.answer().crf.value_or(CrfParameters{}));
  if (given && (given->logits != 0 || given->threads != 0 || given->memory_limit != 0))
    fail(ErrorCode::invalid_argument,
         "atrous_crf_options: logits, threads and memory_limit are for atrous_crf(), a session has its own");
  return out;
}

TestProtocol test_protocol(const atrous_protocol_options& given, const Model& model) {
  const atrous_protocol_options o = options_of(&given, "atrous_protocol_options");
  TestProtocol out = o.name ? published_protocol(o.name, model) : TestProtocol{};
  if (o.scale_count < 0 || (o.scale_count == 0) != (o.scales == nullptr))
    fail(ErrorCode::invalid_argument, "scales: ", o.scale_count, " of them, and the pointer is ",
         o.scales ? "" : "not ", "set");
  if (o.name && out == TestProtocol{.resize = out.resize} && (o.scales || o.flip))
    fail(ErrorCode::invalid_argument, "test protocol ", o.name,
         " is a single run: it has no scales and no flip");
  if (o.scales && out.style == TestStyle::deeplabv2 && model.architecture.ends_with("-msc"))
    fail(ErrorCode::invalid_argument, "scales: the ", model.architecture, " holds its scales itself");
  if (o.scales) out.scales.assign(o.scales, o.scales + std::min(o.scale_count, most_given_scales));
  out.flip = out.flip || o.flip != 0;
  const auto take = [](int& side, std::int32_t one) {
    if (one != 0) side = one;
  };
  take(out.base_size, o.base_size);
  take(out.tile_width, o.tile_width);
  take(out.tile_height, o.tile_height);
  out.overlap = overlap_of(o.overlap, out.overlap);
  check(out);
  return out;
}

std::optional<Tiling> tiling(std::int32_t tile, std::int32_t overlap) {
  if (tile == 0 && overlap != 0)
    fail(ErrorCode::invalid_argument, "overlap ", overlap, ": of which tiles? tile says how large they are");
  if (tile == 0) return std::nullopt;
#if ATROUS_HAS_TILES
  const Tiling out{.tile = tile, .overlap = overlap_of(overlap, tile / 8)};
  check(out);
  return out;
#else
  fail(ErrorCode::unsupported, "tile: this library was built without tiles");
#endif
}

}  // namespace atrous::c

using namespace atrous::c;

extern "C" atrous_status atrous_crf(const atrous_image* photo, float* values, int32_t classes,
                                    const atrous_crf_options* options) {
  return guarded([&] {
    const atrous::Image image = image_of(photo, "photo");
    given(values, "values");
    const atrous_crf_options o = options_of(options, "atrous_crf_options");
    const atrous::CrfOptions how{
        .parameters = crf_parameters(options, {}),
        .logits = o.logits != 0,
        .memory_limit = atrous::checked_cast<std::size_t>(o.memory_limit, "memory_limit"),
        .threads = thread_count(o.threads)};
    if (classes < 2)
      atrous::fail(atrous::ErrorCode::invalid_argument, "classes: expected 2 or more, found ", classes);
    const atrous::Shape shape{1, image.height, image.width, classes};
    atrous::checked_product({shape.h, shape.w, shape.c, sizeof(float)}, "values");
    atrous::dense_crf(image, atrous::View{values, shape, shape.c}, how);
  });
}
