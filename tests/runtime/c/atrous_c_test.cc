// The interface for C, against the C++ library behind it and against what its header says. That it is C:
// tests/programs/c.
#include "runtime/c/atrous_c.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "layers/cpu/isa.h"
#include "layers/cpu/parallel.h"
#include "runtime/drawing/pictures.h"
#include "runtime/engine/open_device.h"
#include "runtime/evaluation/evaluate.h"
#include "runtime/evaluation/evaluation_json.h"
#include "runtime/image/image_read.h"
#include "runtime/image/npy.h"
#include "runtime/image/palette.h"
#include "runtime/image/png.h"
#include "runtime/instances/instance_overlay.h"
#include "runtime/segment/named_model.h"
#include "runtime/tiles/tiled.h"
#include "tests/support/evaluate_testing.h"
#include "tests/support/instance_bench.h"
#include "tests/support/runtime_testing.h"
#include "tests/support/temporary.h"
#include "weights_tools/io/file.h"
#include "weights_tools/safetensors/safetensors.h"

#pragma GCC diagnostic ignored "-Wmissing-field-initializers"  // in C they are zeros without a word

namespace atrous::c_test {

using namespace atrous::runtime_testing;
using atrous::testing::TemporaryFolder;

namespace {

struct Free {
  void operator()(atrous_model* h) const { atrous_model_free(h); }
  void operator()(atrous_session* h) const { atrous_session_free(h); }
  void operator()(atrous_result* h) const { atrous_result_free(h); }
  void operator()(atrous_picture* h) const { atrous_picture_free(h); }
  void operator()(atrous_bytes* h) const { atrous_bytes_free(h); }
  void operator()(atrous_devices* h) const { atrous_devices_free(h); }
};
template <class Handle>
using Owned = std::unique_ptr<Handle, Free>;

// What a call makes, which is to succeed.
template <class Handle, class Call>
Owned<Handle> made(Call&& call) {
  Handle* handle = nullptr;
  const atrous_status status = call(&handle);
  REQUIRE_MESSAGE(status == ATROUS_OK, atrous_last_error());
  REQUIRE(handle != nullptr);
  return Owned<Handle>(handle);
}

// A call that is to fail: its handle stays NULL, and its sentence says why.
template <class Handle, class Call>
void fails(atrous_status expected, std::string_view word, Call&& call) {
  int anything = 0;
  auto* handle = reinterpret_cast<Handle*>(&anything);
  const atrous_status status = call(&handle);
  CHECK(status == expected);
  CHECK(handle == nullptr);
  CHECK_MESSAGE(std::string_view(atrous_last_error()).find(word) != std::string_view::npos,
                atrous_last_error());
}

std::vector<std::byte> file_of(const StateDict& state) {
  const TemporaryFolder folder;
  write_safetensors(folder / "net.safetensors", state, {});
  return read_file(folder / "net.safetensors", 1 << 24);
}

const StateDict& state_of_test() {
  static const StateDict state = tiny_state("deeplabv3");
  return state;
}

Owned<atrous_model> c_model(const StateDict& state = state_of_test(), atrous_model_options options = {}) {
  const std::vector<std::byte> file = file_of(state);
  options.size = sizeof options;
  options.threads = 1;
  return made<atrous_model>([&](atrous_model** out) {
    return atrous_model_load_memory(file.data(), file.size(), "tiny", &options, out);
  });
}

Owned<atrous_session> c_session(const atrous_model* model) {
  const atrous_session_options options{.size = sizeof options, .threads = 1, .memory_limit = 0};
  return made<atrous_session>([&](atrous_session** out) { return atrous_session_new(model, &options, out); });
}

atrous_image view_of(const Image& image) {
  return {image.pixels.data(), image.width, image.height, image.channels, 0};
}
Image copy_of(const atrous_picture* picture) {
  const atrous_image view = atrous_picture_image(picture);
  Image image = make_image(view.width, view.height, view.channels);
  std::copy_n(view.pixels, image.pixels.size(), image.pixels.data());
  return image;
}

Owned<atrous_result> segmented(atrous_session* session, const Image& image,
                               atrous_segment_options options = {}) {
  const atrous_image view = view_of(image);
  options.size = sizeof options;
  return made<atrous_result>(
      [&](atrous_result** out) { return atrous_segment(session, &view, &options, out); });
}

atrous_result_info info_of(const atrous_result* result) {
  atrous_result_info info{};
  info.size = sizeof info;
  REQUIRE(atrous_result_get_info(result, &info) == ATROUS_OK);
  return info;
}

std::vector<std::uint8_t> labels_of_result(const atrous_result_info& info) {
  return {info.labels, info.labels + info.width * info.height};
}

Image drawing(const atrous_result* result, atrous_drawing what, const Image* under,
              atrous_draw_options options = {}) {
  options.size = sizeof options;
  const atrous_image view = under ? view_of(*under) : atrous_image{};
  return copy_of(made<atrous_picture>([&](atrous_picture** out) {
                   return atrous_draw(result, what, under ? &view : nullptr, &options, out);
                 }).get());
}

}  // namespace

TEST_CASE("C: a photo is segmented as by the C++ library, to the bit") {
  const Model model = make_model(StateDict(state_of_test()), std::nullopt, {.name = "tiny", .threads = 1});
  Session session(model.program, {.threads = 1});
  const auto c = c_model();
  const auto c_run = c_session(c.get());
  const Image picture = photo(61, 47);
  struct Case {
    SegmentOptions options;
    atrous_segment_options c;
  };
  const ResizeRule none{.kind = ResizeRule::Kind::none, .width = 0};
  const ResizeRule exact{.kind = ResizeRule::Kind::exact, .width = 40, .height = 33};
  const ResizeRule shorter{.kind = ResizeRule::Kind::shorter_side, .width = 50};
  const ResizeRule longer{.kind = ResizeRule::Kind::longer_side, .width = 50};
  std::vector<Case> cases(6);
  cases[0].options = {.confidence = false};
  cases[1].options = {.resize = none, .probabilities = true};
  cases[1].c.want = ATROUS_CONFIDENCE | ATROUS_PROBABILITIES;
  cases[1].c.resize = ATROUS_RESIZE_NONE;
  cases[2].options = {.resize = exact, .at_input = true, .logits = true};
  cases[2].c.want = ATROUS_CONFIDENCE | ATROUS_LOGITS;
  cases[2].c.resize = ATROUS_RESIZE_EXACT;
  cases[2].c.width = 40;
  cases[2].c.height = 33;
  cases[2].c.at_input = 1;
  cases[3].options = {.resize = shorter};
  cases[3].c.want = ATROUS_CONFIDENCE;
  cases[3].c.resize = ATROUS_RESIZE_SHORTER;
  cases[3].c.width = 50;
  cases[4].options = {.crf = CrfParameters{}};
  cases[4].c.want = ATROUS_CONFIDENCE;
  cases[4].c.crf = 1;
  cases[5].options = {.resize = longer};
  cases[5].c.want = ATROUS_CONFIDENCE;
  cases[5].c.resize = ATROUS_RESIZE_LONGER;
  cases[5].c.width = 50;
  for (const Case& one : cases) {
    const Segmentation expected = segment(session, model, picture, one.options);
    const auto result = segmented(c_run.get(), picture, one.c);
    const atrous_result_info info = info_of(result.get());
    CHECK(info.width == expected.labels.width);
    CHECK(info.height == expected.labels.height);
    CHECK(labels_of_result(info) == expected.labels.labels);
    CHECK(info.input_width == expected.input_width);
    CHECK(info.input_height == expected.input_height);
    CHECK(info.instances == 0);
    CHECK(info.network_seconds > 0);
    const auto same = [](const float* found, std::span<const float> wanted) {
      CHECK((found != nullptr) == !wanted.empty());
      if (found) CHECK(std::equal(wanted.begin(), wanted.end(), found));
    };
    same(info.confidence, expected.confidence);
    same(info.probabilities, expected.probabilities.values());
    same(info.logits, expected.logits.values());
    CHECK(drawing(result.get(), ATROUS_DRAW_MASK, nullptr) == colourise(expected.labels, model.palette));
    const Image& under = picture_under(expected, picture);
    CHECK(drawing(result.get(), ATROUS_DRAW_INPUT, &picture) == under);
    CHECK(drawing(result.get(), ATROUS_DRAW_OVERLAY, &picture) ==
          overlay(under, expected.labels, model.palette, {.background = model.background}));
    atrous_draw_options style{};
    style.alpha = 0.25;
    style.no_contours = style.tint_all = 1;
    style.label = 3;
    CHECK(drawing(result.get(), ATROUS_DRAW_OVERLAY, &picture, style) ==
          overlay(under, expected.labels, model.palette, {.alpha = 0.25F, .contours = false}));
    CHECK(drawing(result.get(), ATROUS_DRAW_CUTOUT, &picture, style) == cutout(under, expected.labels, 3));
    if (info.confidence)
      CHECK(drawing(result.get(), ATROUS_DRAW_CONFIDENCE, nullptr) ==
            confidence_picture(expected.confidence, info.width, info.height));
  }
}

TEST_CASE("C: rows may be apart, grey is repeated and alpha dropped") {
  const auto model = c_model();
  const auto session = c_session(model.get());
  const Image rgb = photo(40, 30);
  const auto expected = labels_of_result(info_of(segmented(session.get(), rgb).get()));
  std::vector<std::uint8_t> apart(30 * 200, 7);
  for (int y = 0; y < 30; ++y) std::copy_n(rgb.row(y), 120, apart.data() + 200 * y);
  const atrous_image strided{apart.data(), 40, 30, 3, 200};
  const auto result = made<atrous_result>(
      [&](atrous_result** out) { return atrous_segment(session.get(), &strided, nullptr, out); });
  CHECK(labels_of_result(info_of(result.get())) == expected);
  Image rgba = make_image(40, 30, 4), grey = make_image(40, 30, 1), thrice = make_image(40, 30, 3);
  for (std::size_t i = 0; i < 1200; ++i) {
    std::copy_n(&rgb.pixels[3 * i], 3, &rgba.pixels[4 * i]);
    rgba.pixels[4 * i + 3] = static_cast<std::uint8_t>(i);
    grey.pixels[i] = rgb.pixels[3 * i];
    std::fill_n(&thrice.pixels[3 * i], 3, grey.pixels[i]);
  }
  CHECK(labels_of_result(info_of(segmented(session.get(), rgba).get())) == expected);
  CHECK(labels_of_result(info_of(segmented(session.get(), grey).get())) ==
        labels_of_result(info_of(segmented(session.get(), thrice).get())));
}

TEST_CASE("C: a batch that is normalised gives a result for each image") {
  const Model model = make_model(StateDict(state_of_test()), std::nullopt, {.name = "tiny", .threads = 1});
  Session session(model.program, {.threads = 1});
  const auto c = c_model();
  const auto c_run = c_session(c.get());
  const Tensor input = noise({2, 24, 32, 3});
  const auto expected = segment(session, model, input.view(), {.confidence = true, .logits = true});
  const atrous_segment_options options{.size = sizeof options, .want = ATROUS_CONFIDENCE | ATROUS_LOGITS};
  atrous_result* results[2] = {};
  REQUIRE(atrous_segment_batch(c_run.get(), input.data(), 2, 24, 32, &options, results) == ATROUS_OK);
  for (std::size_t i = 0; i < 2; ++i) {
    const Owned<atrous_result> one(results[i]);
    const atrous_result_info info = info_of(one.get());
    CHECK(labels_of_result(info) == expected[i].labels.labels);
    CHECK(std::ranges::equal(expected[i].confidence, std::span(info.confidence, 24 * 32)));
    CHECK(std::ranges::equal(expected[i].logits.values(), std::span(info.logits, 24 * 32 * 5)));
    const Image picture = photo(32, 24), other = photo(24, 32);
    CHECK(drawing(one.get(), ATROUS_DRAW_OVERLAY, &picture) ==
          overlay(picture, expected[i].labels, model.palette, {.background = model.background}));
    CHECK(drawing(one.get(), ATROUS_DRAW_INPUT, &picture) == picture);
    fails<atrous_picture>(ATROUS_INVALID_ARGUMENT, "photo is NULL", [&](atrous_picture** out) {
      return atrous_draw(one.get(), ATROUS_DRAW_OVERLAY, nullptr, nullptr, out);
    });
    const atrous_image turned = view_of(other);
    fails<atrous_picture>(ATROUS_INVALID_ARGUMENT, "32x24, found 24x32", [&](atrous_picture** out) {
      return atrous_draw(one.get(), ATROUS_DRAW_OVERLAY, &turned, nullptr, out);
    });
  }
  for (const atrous_segment_options& of_photos :
       {atrous_segment_options{.size = sizeof(atrous_segment_options), .crf = 1},
        atrous_segment_options{.size = sizeof(atrous_segment_options), .tile = 16}}) {
    atrous_result* none[2] = {};
    CHECK(atrous_segment_batch(c_run.get(), input.data(), 2, 24, 32, &of_photos, none) ==
          ATROUS_INVALID_ARGUMENT);
    CHECK(std::string(atrous_last_error()) == "crf and tile are for a photo, a batch has none");
  }
  int anything = 0;
  atrous_result* refused[3];
  std::ranges::fill(refused, reinterpret_cast<atrous_result*>(&anything));
  CHECK(atrous_segment_batch(c_run.get(), input.data(), 2, 0, 32, nullptr, refused) ==
        ATROUS_INVALID_ARGUMENT);
  CHECK(refused[0] == nullptr);
  CHECK(refused[1] == nullptr);
  CHECK(refused[2] != nullptr);  // not the call's
}

// The same labels, confidences, probabilities and sizes.
void check_same(const atrous_result* result, const Segmentation& expected) {
  const atrous_result_info info = info_of(result);
  CHECK(labels_of_result(info) == expected.labels.labels);
  CHECK(info.input_width == expected.input_width);
  CHECK(info.input_height == expected.input_height);
  const auto same = [](const float* found, std::span<const float> wanted) {
    CHECK((found != nullptr) == !wanted.empty());
    if (found) CHECK(std::equal(wanted.begin(), wanted.end(), found));
  };
  same(info.confidence, expected.confidence);
  same(info.probabilities, expected.probabilities.values());
}

TEST_CASE("C: a CRF's parameters, test protocols and tiles are those of the C++ library, to the bit") {
  const Model model = make_model(StateDict(state_of_test()), std::nullopt, {.name = "tiny", .threads = 1});
  Session session(model.program, {.threads = 1});
  const auto c = c_model();
  const auto c_run = c_session(c.get());
  const Image picture = photo(61, 47);
  const std::uint32_t both = ATROUS_CONFIDENCE | ATROUS_PROBABILITIES;
  const auto check_one = [&](const SegmentOptions& options, const atrous_segment_options& same) {
    check_same(segmented(c_run.get(), picture, same).get(), segment(session, model, picture, options));
  };
  const std::vector<std::uint8_t> once = segment(session, model, picture).labels.labels;

  const atrous_crf_options wide{
      .size = sizeof wide, .gaussian_weight = 5, .bilateral_xy = 20, .iterations = 3};
  const CrfParameters as_wide{
      .iterations = 3, .gaussian = {.weight = 5, .xy = 1}, .bilateral = {.weight = 4, .xy = 20, .rgb = 3}};
  check_one({.probabilities = true, .crf = as_wide}, {.want = both, .crf = 1, .crf_options = &wide});
  const atrous_crf_options near{.size = sizeof near,
                                .gaussian_weight = 2,
                                .gaussian_xy = 4,
                                .bilateral_weight = -1,
                                .bilateral_rgb = 9,
                                .iterations = 0};
  const CrfParameters as_near{.gaussian = {.weight = 2, .xy = 4},
                              .bilateral = {.weight = 0, .xy = 67, .rgb = 9}};
  check_one({.probabilities = true, .crf = as_near}, {.want = both, .crf = 1, .crf_options = &near});
  const atrous_crf_options none{.size = sizeof none, .iterations = -1};
  CHECK(labels_of_result(info_of(segmented(c_run.get(), picture, {.crf = 1, .crf_options = &none}).get())) ==
        once);

  const double scales[] = {0.5, 1, 1.5};
  const atrous_protocol_options whole{.size = sizeof whole, .scales = scales, .scale_count = 3, .flip = 1};
  check_one({.probabilities = true, .protocol = TestProtocol{.scales = {0.5, 1, 1.5}, .flip = true}},
            {.want = both, .protocol = &whole});
  check_one({.probabilities = true,
             .crf = as_wide,
             .protocol = TestProtocol{.scales = {0.5, 1, 1.5}, .flip = true}},
            {.want = both, .crf = 1, .crf_options = &wide, .protocol = &whole});
  const atrous_protocol_options semseg{.size = sizeof semseg,
                                       .name = "semseg",
                                       .scales = scales + 1,
                                       .scale_count = 1,
                                       .base_size = 60,
                                       .tile_width = 41,
                                       .tile_height = 33,
                                       .overlap = -1};
  TestProtocol as_semseg = published_protocol("semseg", model);
  CHECK(as_semseg.flip);  // as published
  as_semseg.scales = {1};
  as_semseg.base_size = 60;
  as_semseg.tile_width = 41;
  as_semseg.tile_height = 33;
  as_semseg.overlap = 0;
  check_one({.probabilities = true, .protocol = as_semseg}, {.want = both, .protocol = &semseg});
  as_semseg.overlap = -1;
  atrous_protocol_options a_third = semseg;
  a_third.overlap = 0;
  check_one({.probabilities = true, .protocol = as_semseg}, {.want = both, .protocol = &a_third});
  const atrous_protocol_options torchvision{.size = sizeof torchvision, .name = "torchvision"};
  check_one({.resize = ResizeRule{}}, {.want = ATROUS_CONFIDENCE, .protocol = &torchvision});

  for (const auto& [overlap, of_tile] : {std::pair{0, 4}, std::pair{9, 9}, std::pair{-1, 0}}) {
    const Segmentation expected = segment_tiled(session, model, picture, {.tiling = {32, of_tile}});
    const auto result =
        segmented(c_run.get(), picture, {.want = ATROUS_CONFIDENCE, .tile = 32, .overlap = overlap});
    check_same(result.get(), expected);
    CHECK(drawing(result.get(), ATROUS_DRAW_OVERLAY, &picture) ==
          overlay(picture, expected.labels, model.palette, {.background = model.background}));
  }
}

TEST_CASE("C: a CRF, a protocol and tiles that cannot be are refused in a sentence") {
  const auto model = c_model();
  const auto session = c_session(model.get());
  const Image picture = photo(30, 20);
  const atrous_image view = view_of(picture);
  const auto refused = [&](std::string_view word, atrous_segment_options options) {
    options.size = sizeof options;
    fails<atrous_result>(ATROUS_INVALID_ARGUMENT, word, [&](atrous_result** out) {
      return atrous_segment(session.get(), &view, &options, out);
    });
  };
  const auto refused_crf = [&](std::string_view word, atrous_crf_options crf) {
    crf.size = sizeof crf;
    refused(word, {.crf = 1, .crf_options = &crf});
  };
  const double scales[] = {1, 9};
  const auto refused_protocol = [&](std::string_view word, atrous_protocol_options protocol) {
    protocol.size = sizeof protocol;
    refused(word, {.protocol = &protocol});
  };
  const atrous_crf_options plain{.size = sizeof plain};
  refused("crf_options: crf is 0", {.crf_options = &plain});
  const atrous_crf_options short_one{.size = 8};
  refused("atrous_crf_options: its size is 8", {.crf = 1, .crf_options = &short_one});
  refused_crf("gaussian_xy: expected a number above 0, found -1", {.gaussian_xy = -1});
  refused_crf("bilateral_rgb: expected a number above 0", {.bilateral_rgb = 1e300});
  refused_crf("deviation of 0.001: expected 0.01 to 1000000", {.bilateral_xy = 0.001});
  refused_crf("1001 iterations", {.iterations = 1001});
  refused_crf("threads and memory_limit are for atrous_crf()", {.threads = 1});
  refused_crf("reserved", {.reserved = 1});
  refused_protocol("abacus", {.name = "abacus"});
  refused_protocol("scales: 2 of them, and the pointer is not set", {.scale_count = 2});
  refused_protocol("scales: 0 of them, and the pointer is set", {.scales = scales});
  refused_protocol("scale 9", {.scales = scales, .scale_count = 2});
  refused_protocol("1000 scales", {.scales = std::vector<double>(1000, 1).data(), .scale_count = 1000});
  refused_protocol("torchvision is a single run", {.name = "torchvision", .flip = 1});
  refused_protocol("it has no tiles", {.tile_width = 8, .tile_height = 8});
  refused_protocol("mirrors nothing", {.name = "deeplabv2", .flip = 1});
  const atrous_protocol_options flip{.size = sizeof flip, .flip = 1};
  refused("no logits to keep", {.want = ATROUS_LOGITS, .protocol = &flip});
  refused("overlap 3: of which tiles?", {.overlap = 3});
  refused("tiles of -1 pixels", {.tile = -1});
  refused("an overlap of 16 pixels: expected 0 to 15", {.tile = 16, .overlap = 16});
  refused("probabilities and logits: with tile", {.want = ATROUS_PROBABILITIES, .tile = 16});
  refused("crf: with tile", {.crf = 1, .tile = 16});
  refused("protocol: with tile", {.protocol = &flip, .tile = 16});
  refused("at_input: with tile", {.at_input = 1, .tile = 16});
  refused("resize: with tile", {.resize = ATROUS_RESIZE_SHORTER, .width = 16, .tile = 16});
}

TEST_CASE("C: a program that knows the first options of a photo, without CRF, protocol and tiles, goes on") {
  const auto model = c_model();
  const auto session = c_session(model.get());
  const Image picture = photo(30, 20);
  const atrous_image view = view_of(picture);
  const std::size_t first = 56;  // sizeof(atrous_segment_options) of the first version
  std::vector<unsigned char> bytes(first);
  const std::uint32_t want = ATROUS_CONFIDENCE;
  std::memcpy(bytes.data(), &first, sizeof first);
  std::memcpy(bytes.data() + offsetof(atrous_segment_options, want), &want, sizeof want);
  const auto* options = reinterpret_cast<const atrous_segment_options*>(bytes.data());
  const auto result = made<atrous_result>(
      [&](atrous_result** out) { return atrous_segment(session.get(), &view, options, out); });
  CHECK(info_of(result.get()).confidence != nullptr);
  bytes[0] = 57;
  bytes.resize(57);
  options = reinterpret_cast<const atrous_segment_options*>(bytes.data());
  fails<atrous_result>(ATROUS_INVALID_ARGUMENT, "its size is 57, expected", [&](atrous_result** out) {
    return atrous_segment(session.get(), &view, options, out);
  });
}

TEST_CASE("C: a CRF behind any network is the authors'") {
  const std::string folder = ATROUS_SOURCE_DIR "/../shared/data/networks/densecrf/";
  if (!std::filesystem::is_directory(folder)) {
    std::puts("skipped: ../shared/data is absent");
    return;
  }
  int compared = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string one = entry.path().string() + "/";
    CAPTURE(one);
    const Image picture = read_image(read_file(one + "image.png", 1 << 24), "image.png");
    const Tensor logits = read_npy(read_file(one + "logits.npy", 1 << 24), "logits.npy", 0),
                 expected = read_npy(read_file(one + "q_kk2011_5.npy", 1 << 24), "q_kk2011_5.npy", 0);
    std::vector<float> values(logits.values().begin(), logits.values().end());
    const atrous_crf_options kk2011{.size = sizeof kk2011,
                                    .gaussian_weight = 3,
                                    .gaussian_xy = 3,
                                    .bilateral_weight = 10,
                                    .bilateral_xy = 80,
                                    .bilateral_rgb = 13,
                                    .iterations = 5,
                                    .logits = 1,
                                    .threads = 1};
    const atrous_image view = view_of(picture);
    REQUIRE(atrous_crf(&view, values.data(), static_cast<int>(logits.shape().c), &kk2011) == ATROUS_OK);
    float most = 0;
    for (std::size_t i = 0; i < values.size(); ++i)
      most = std::max(most, std::abs(values[i] - expected.values()[i]));
    CHECK(most <= 2e-4F);  // as tests/runtime/segment/dense_crf_test.cc explains
    ++compared;
  }
  CHECK(compared > 0);
}

TEST_CASE("C: a CRF leaves values as they were where it cannot be") {
  const Image picture = photo(6, 5);
  const atrous_image view = view_of(picture);
  std::vector<float> values(6 * 5 * 3, 0.25F);
  const std::vector<float> before = values;
  const auto refused = [&](atrous_status status, std::string_view word, int classes,
                           atrous_crf_options options, const atrous_image* under) {
    options.size = sizeof options;
    CHECK(atrous_crf(under, values.data(), classes, &options) == status);
    CHECK_MESSAGE(std::string_view(atrous_last_error()).find(word) != std::string_view::npos,
                  atrous_last_error());
    CHECK(values == before);
  };
  refused(ATROUS_INVALID_ARGUMENT, "classes: expected 2 or more, found 1", 1, {}, &view);
  refused(ATROUS_INVALID_ARGUMENT, "photo is NULL", 3, {}, nullptr);
  refused(ATROUS_INVALID_ARGUMENT, "threads: expected 0 or more, found -1", 3, {.threads = -1}, &view);
  refused(ATROUS_LIMIT, "", 3, {.memory_limit = 1}, &view);
  CHECK(atrous_crf(&view, nullptr, 3, nullptr) == ATROUS_INVALID_ARGUMENT);
  CHECK(std::string(atrous_last_error()) == "values is NULL");
  values[7] = -1;
  CHECK(atrous_crf(&view, values.data(), 3, nullptr) == ATROUS_INVALID_ARGUMENT);
  CHECK(std::string(atrous_last_error()) == "a probability of -1 of class 1 at pixel 2");
  CHECK(values[7] == -1);
  // With neither kernel Q is what was given: softmax(log(probability)).
  values = before;
  const atrous_crf_options alone{
      .size = sizeof alone, .gaussian_weight = -1, .bilateral_weight = -1, .threads = 1};
  REQUIRE(atrous_crf(&view, values.data(), 3, &alone) == ATROUS_OK);
  for (const float q : values) CHECK(q == doctest::Approx(1. / 3));
}

TEST_CASE("C: devices are the processor and those that the C++ library lists") {
  const auto list = made<atrous_devices>([](atrous_devices** out) { return atrous_devices_list(out); });
  const DeviceList cuda = list_cuda_devices();
  REQUIRE(atrous_devices_count(list.get()) == static_cast<int>(cuda.devices.size()) + 1);
  CHECK(atrous_devices_why_none(list.get()) == cuda.why_none);
  atrous_device_info info{};
  info.size = sizeof info;
  REQUIRE(atrous_devices_get(list.get(), 0, &info) == ATROUS_OK);
  CHECK(std::string(info.device) == "cpu");
  CHECK(std::string(info.name).empty());
  CHECK(std::string_view(info.kind).starts_with(name_of(supported_isas().front())));
  CHECK(info.threads == available_threads());
  CHECK(info.memory_bytes == 0);
  for (std::size_t i = 0; i < cuda.devices.size(); ++i) {
    REQUIRE(atrous_devices_get(list.get(), static_cast<int>(i) + 1, &info) == ATROUS_OK);
    CHECK(info.device == "cuda:" + std::to_string(i));
    CHECK(info.name == cuda.devices[i].name);
    CHECK(info.kind == cuda.devices[i].kind);
    CHECK(info.memory_bytes == cuda.devices[i].memory_bytes);
    CHECK(info.threads == 0);
  }
  for (const int index : {-1, atrous_devices_count(list.get())}) {
    CHECK(atrous_devices_get(list.get(), index, &info) == ATROUS_INVALID_ARGUMENT);
    CHECK(std::string_view(atrous_last_error()).find("the list has") != std::string_view::npos);
  }
  CHECK(atrous_devices_count(nullptr) == 0);
  CHECK(std::string(atrous_devices_why_none(nullptr)).empty());
  CHECK(atrous_devices_get(nullptr, 0, &info) == ATROUS_INVALID_ARGUMENT);
  CHECK(atrous_devices_list(nullptr) == ATROUS_INVALID_ARGUMENT);
  atrous_devices_free(nullptr);
}

TEST_CASE("C: a model says what it is") {
  const Model model = make_model(StateDict(state_of_test()), std::nullopt, {.name = "tiny", .threads = 1});
  const auto c = c_model();
  atrous_model_info info{};
  info.size = sizeof info;
  REQUIRE(atrous_model_get_info(c.get(), &info) == ATROUS_OK);
  CHECK(info.architecture == model.architecture);
  CHECK(info.task == ATROUS_SEMANTIC);
  CHECK(info.classes == 5);
  CHECK(info.logits == 5);
  CHECK(info.background == -1);
  CHECK(info.has_masks == 1);
  CHECK(info.mean[1] == 0.456F);
  CHECK(info.std[2] == 0.225F);
  CHECK(info.range == 1);
  CHECK(info.bgr == 0);
  CHECK(info.weight_bytes == model.packed_bytes());
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(atrous_model_class_name(c.get(), static_cast<int>(i)) == model.classes[i]);
    CHECK(std::equal(model.palette[i].begin(), model.palette[i].end(), info.palette + 3 * i));
  }
  CHECK(atrous_model_class_name(c.get(), 5) == nullptr);
  CHECK(atrous_model_class_name(c.get(), -1) == nullptr);
  CHECK(atrous_model_class_name(nullptr, 0) == nullptr);
  std::uint8_t rgb[3 * 21];
  REQUIRE(atrous_voc_palette(21, rgb) == ATROUS_OK);
  const Palette voc = voc_palette(21);
  for (std::size_t i = 0; i < 21; ++i) CHECK(std::equal(voc[i].begin(), voc[i].end(), rgb + 3 * i));
}

TEST_CASE("C: models by name, and those that are none") {
  const auto seeded = made<atrous_model>(
      [](atrous_model** out) { return atrous_model_load("seeded:lraspp_mobilenet_v3_large", nullptr, out); });
  CHECK(atrous_model_class_name(seeded.get(), 0) != nullptr);
  const auto load = [](const char* name, atrous_model_options options = {}) {
    options.size = sizeof options;
    return [name, options](atrous_model** out) { return atrous_model_load(name, &options, out); };
  };
  fails<atrous_model>(ATROUS_IO, "nosuch: neither a file nor a model's name", load("nosuch"));
  fails<atrous_model>(ATROUS_IO, "/no/such/file", load("/no/such/file"));
  fails<atrous_model>(ATROUS_INVALID_ARGUMENT, "nosuch", load("seeded:nosuch"));
  fails<atrous_model>(ATROUS_INVALID_ARGUMENT, "name_or_path is NULL", load(nullptr));
  fails<atrous_model>(ATROUS_UNSUPPORTED, "PNG", load(ATROUS_SOURCE_DIR "/tests/street/street.png"));
  fails<atrous_model>(ATROUS_INVALID_ARGUMENT, "expected fp32, bf16, int8",
                      load("default", {.precision = "fp8"}));
  fails<atrous_model>(ATROUS_INVALID_ARGUMENT, "precision fp16 is not for the device cpu",
                      load("default", {.precision = "fp16"}));
  fails<atrous_model>(ATROUS_INVALID_ARGUMENT, "precision int8 is not for the device cuda",
                      load("default", {.device = "cuda", .precision = "int8"}));
  fails<atrous_model>(ATROUS_INVALID_ARGUMENT, "abacus", load("default", {.device = "abacus"}));
  fails<atrous_model>(ATROUS_INVALID_ARGUMENT, "calibrated",
                      load("seeded:lraspp_mobilenet_v3_large", {.precision = "int8"}));
  fails<atrous_model>(ATROUS_INVALID_ARGUMENT, "threads", load("default", {.threads = -1}));
  fails<atrous_model>(ATROUS_INVALID_ARGUMENT, "os", load("seeded:deeplabv3_resnet50", {.arch = "os=7"}));
  CHECK(atrous_model_load("default", nullptr, nullptr) == ATROUS_INVALID_ARGUMENT);
}

TEST_CASE("C: a caller may end a download, or forbid it") {
  const TemporaryFolder folder;
  const std::string_view script =
      "#!/bin/sh\n"
      "printf 'HTTP/1.1 200 OK\\r\\nContent-Length: 2000000\\r\\n\\r\\n'\n"
      "head -c 2000000 /dev/zero\n";
  write_file(folder / "curl", std::as_bytes(std::span(script)));
  std::filesystem::permissions(folder / "curl", std::filesystem::perms::owner_all);
  const std::string path = folder.path() + ":" + std::getenv("PATH");
  REQUIRE(setenv("PATH", path.c_str(), 1) == 0);
  for (const char* variable : {"ATROUS_CACHE", "TORCH_HOME"})
    REQUIRE(setenv(variable, folder.path().c_str(), 1) == 0);
  struct Seen {
    int calls = 0, end_at = 0;
    std::uint64_t total = 0;
  } seen;
  atrous_model_options options{};
  options.size = sizeof options;
  options.user = &seen;
  options.progress = [](void* user, std::uint64_t, std::uint64_t total) {
    Seen& s = *static_cast<Seen*>(user);
    s.total = std::max(s.total, total);
    return static_cast<int>(++s.calls == s.end_at);
  };
  const auto load = [&](atrous_model** out) {
    return atrous_model_load("lraspp_mobilenet_v3_large", &options, out);
  };
  seen.end_at = 2;
  fails<atrous_model>(ATROUS_STOPPED, "the download was stopped", load);
  CHECK(seen.calls == 2);
  seen = {};
  fails<atrous_model>(ATROUS_MALFORMED, "sha256", load);  // to its end: of zeros
  CHECK(seen.total == 2000000);
  seen = {};
  options.offline = 1;
  fails<atrous_model>(ATROUS_IO, "downloads are not allowed", load);
  CHECK(seen.calls == 0);
}

TEST_CASE("C: structs grow: a later one may say nothing new, and none is shorter than the first") {
  const auto model = c_model();
  struct Later {
    atrous_session_options known;
    std::uint64_t more;
  };
  Later later{};
  later.known.threads = 1;
  later.known.size = sizeof later;
  const auto* as_known = &later.known;
  made<atrous_session>([&](atrous_session** out) { return atrous_session_new(model.get(), as_known, out); });
  later.more = 1;
  fails<atrous_session>(ATROUS_INVALID_ARGUMENT, "atrous_session_options: of its",
                        [&](atrous_session** out) { return atrous_session_new(model.get(), as_known, out); });
  // No struct was ever shorter: such a size is a mistake, as is one that no struct will have.
  atrous_session_options plain{};
  plain.threads = 1;
  atrous_model_info info{};
  for (const std::size_t size :
       {std::size_t{0}, sizeof(std::size_t) + 1, sizeof plain - 1, std::size_t{5000}, std::size_t{0} - 1}) {
    plain.size = info.size = size;
    fails<atrous_session>(ATROUS_INVALID_ARGUMENT, "its size is",
                          [&](atrous_session** out) { return atrous_session_new(model.get(), &plain, out); });
    CHECK(atrous_model_get_info(model.get(), &info) == ATROUS_INVALID_ARGUMENT);
  }
  plain.size = sizeof plain;
  plain.memory_limit = 1;
  const auto limited = made<atrous_session>(
      [&](atrous_session** out) { return atrous_session_new(model.get(), &plain, out); });
  const Image picture = photo(16, 16);
  const atrous_image view = view_of(picture);
  fails<atrous_result>(ATROUS_LIMIT, "memory", [&](atrous_result** out) {
    return atrous_segment(limited.get(), &view, nullptr, out);
  });
  struct LaterInfo {
    atrous_model_info known;
    std::uint64_t more;
  } later_info{};
  later_info.known.size = sizeof later_info;
  later_info.more = 1;
  auto* const known_info = &later_info.known;
  REQUIRE(atrous_model_get_info(model.get(), known_info) == ATROUS_OK);
  CHECK(later_info.known.classes == 5);
  CHECK(later_info.known.size == sizeof later_info);
  CHECK(later_info.more == 0);
}

TEST_CASE("C: what cannot be is refused in a sentence") {
  const auto model = c_model();
  const auto session = c_session(model.get());
  const Image picture = photo(16, 12);
  const auto refused = [&](std::string_view word, atrous_image image, atrous_segment_options options = {}) {
    options.size = sizeof options;
    fails<atrous_result>(ATROUS_INVALID_ARGUMENT, word, [&](atrous_result** out) {
      return atrous_segment(session.get(), &image, &options, out);
    });
  };
  const atrous_image good = view_of(picture);
  atrous_image bad = good;
  bad.pixels = nullptr;
  refused("pixels pointer is NULL", bad);
  bad = good;
  bad.width = 0;
  refused("0", bad);
  bad = good;
  bad.channels = 2;
  refused("2", bad);
  bad = good;
  bad.row_bytes = 47;
  refused("rows of 47 bytes for 16 pixels of 3 channels, which take 48", bad);
  bad.row_bytes = std::size_t{1} << 62;
  refused("bytes are more than memory has", bad);
  refused("reserved: expected 0, found 1", good, {.reserved = 1});
  refused("want: expected some of 7, found 8", good, {.want = 8});
  refused("resize: expected 0 to 4, found 5", good, {.resize = 5});
  refused("width above 0, found 0", good, {.resize = ATROUS_RESIZE_SHORTER});
  refused("height above 0, found -1", good, {.resize = ATROUS_RESIZE_EXACT, .width = 8, .height = -1});
  refused("threshold", good, {.threshold = 0.5});
  refused("score and max_instances are for instances", good, {.score = 0.5});
  fails<atrous_result>(ATROUS_INVALID_ARGUMENT, "photo is NULL", [&](atrous_result** out) {
    return atrous_segment(session.get(), nullptr, nullptr, out);
  });
  fails<atrous_result>(ATROUS_INVALID_ARGUMENT, "session is NULL",
                       [&](atrous_result** out) { return atrous_segment(nullptr, &good, nullptr, out); });
  const auto result = segmented(session.get(), picture);
  const auto refuse_drawing = [&](std::string_view word, int what, const Image* under, int label = 0) {
    const atrous_image view = under ? view_of(*under) : atrous_image{};
    const atrous_draw_options options{.size = sizeof options, .label = label};
    fails<atrous_picture>(ATROUS_INVALID_ARGUMENT, word, [&](atrous_picture** out) {
      return atrous_draw(result.get(), static_cast<atrous_drawing>(what), under ? &view : nullptr, &options,
                         out);
    });
  };
  refuse_drawing("photo is NULL", ATROUS_DRAW_OVERLAY, nullptr);
  const Image other = photo(12, 16);
  refuse_drawing("16x12, found 12x16", ATROUS_DRAW_OVERLAY, &other);
  refuse_drawing("no confidence", ATROUS_DRAW_CONFIDENCE, nullptr);
  refuse_drawing("label 5: expected 0 to 4", ATROUS_DRAW_CUTOUT, &picture, 5);
  refuse_drawing("drawing 5", 5, &picture);
  std::uint8_t mask[1];
  CHECK(atrous_result_get_mask(result.get(), 0, 0, mask, 1) == ATROUS_INVALID_ARGUMENT);
  CHECK(std::string(atrous_last_error()) == "instance 0: the result has 0");
  fails<atrous_bytes>(ATROUS_UNSUPPORTED, "", [&](atrous_bytes** out) {
    return atrous_png_encode(nullptr, nullptr, 0, out) == ATROUS_INVALID_ARGUMENT ? ATROUS_UNSUPPORTED
                                                                                  : ATROUS_OK;
  });
  CHECK(atrous_voc_palette(257, mask) == ATROUS_LIMIT);
  const atrous_image huge{picture.pixels.data(), 65535, 65535, 3, 0};  // which it is not
  fails<atrous_result>(ATROUS_LIMIT, "65535x65535 is more than 200000000 pixels", [&](atrous_result** out) {
    return atrous_segment(session.get(), &huge, nullptr, out);
  });
  atrous_model_free(nullptr);
  atrous_session_free(nullptr);
  atrous_result_free(nullptr);
  atrous_picture_free(nullptr);
  atrous_bytes_free(nullptr);
}

TEST_CASE("C: every status has its name, and the sentence is the thread's own") {
  const char* names[] = {"ok",    "invalid_argument", "io",         "malformed", "unsupported",
                         "limit", "mismatch",         "not_finite", "device",    "stopped"};
  for (int i = 0; i < 10; ++i) CHECK(std::string(atrous_status_name(i)) == names[i]);
  CHECK(std::string(atrous_status_name(99)) == "unknown");
  CHECK(atrous_voc_palette(1, nullptr) == ATROUS_INVALID_ARGUMENT);
  const std::string here = atrous_last_error();
  std::string before, after;
  std::thread([&] {
    before = atrous_last_error();
    atrous_picture* none = nullptr;
    atrous_picture_read(nullptr, &none);
    after = atrous_last_error();
  }).join();
  CHECK(before.empty());
  CHECK(after == "path is NULL");
  CHECK(here == "rgb is NULL");
  CHECK(atrous_last_error() == here);
}

TEST_CASE("C: results outlive their session and model") {
  auto model = c_model();
  auto session = c_session(model.get());
  const Image picture = photo(32, 24);
  const auto result = segmented(session.get(), picture);
  model.reset();
  const auto again = segmented(session.get(), picture);
  session.reset();
  CHECK(labels_of_result(info_of(result.get())) == labels_of_result(info_of(again.get())));
  CHECK(drawing(result.get(), ATROUS_DRAW_OVERLAY, &picture).width == 32);
}

TEST_CASE("C: a session that another thread uses is refused, and usable afterwards") {
  const auto model = c_model();
  const auto session = c_session(model.get());
  const Image large = photo(400, 300), small = photo(8, 8);
  const atrous_segment_options own{.size = sizeof own, .resize = ATROUS_RESIZE_NONE};
  const auto run = [&](const Image& image, atrous_result** out) {
    const atrous_image view = view_of(image);
    return atrous_segment(session.get(), &view, &own, out);
  };
  int refused = 0, done = 0;
  const auto caller = [&](int& mine_refused, int& mine_done) {
    for (int i = 0; i < 20; ++i) {
      atrous_result* result = nullptr;
      const atrous_status status = run(i % 2 ? large : small, &result);
      if (status == ATROUS_OK)
        ++mine_done;
      else if (std::string_view(atrous_last_error()).find("in use by another thread") !=
               std::string_view::npos)
        ++mine_refused;
      atrous_result_free(result);
    }
  };
  int other_refused = 0, other_done = 0;
  std::thread other(caller, std::ref(other_refused), std::ref(other_done));
  caller(refused, done);
  other.join();
  CHECK(refused + done == 20);
  CHECK(other_refused + other_done == 20);
  atrous_result* result = nullptr;
  CHECK(run(small, &result) == ATROUS_OK);
  atrous_result_free(result);
}

TEST_CASE("C: pictures are read, and written as PNG with a palette or without") {
  const TemporaryFolder folder;
  const Image picture = photo(31, 17);
  const atrous_image view = view_of(picture);
  const std::string path = folder / "photo.png";
  REQUIRE(atrous_png_write(path.c_str(), &view, nullptr, 0) == ATROUS_OK);
  const auto read =
      made<atrous_picture>([&](atrous_picture** out) { return atrous_picture_read(path.c_str(), out); });
  CHECK(copy_of(read.get()) == picture);
  const auto encoded =
      made<atrous_bytes>([&](atrous_bytes** out) { return atrous_png_encode(&view, nullptr, 0, out); });
  std::size_t size = 0;
  const void* data = atrous_bytes_data(encoded.get(), &size);
  const auto decoded = made<atrous_picture>(
      [&](atrous_picture** out) { return atrous_picture_decode(data, size, "photo", out); });
  CHECK(copy_of(decoded.get()) == picture);
  const std::vector<std::uint8_t> labels{0, 1, 2, 1, 0, 2};
  const std::uint8_t palette[] = {0, 0, 0, 255, 0, 0, 0, 0, 255};
  const atrous_image map{labels.data(), 3, 2, 1, 0};
  const auto indexed =
      made<atrous_bytes>([&](atrous_bytes** out) { return atrous_png_encode(&map, palette, 3, out); });
  const auto expected = encode_png(LabelMap{3, 2, labels}, Palette{{0, 0, 0}, {255, 0, 0}, {0, 0, 255}});
  data = atrous_bytes_data(indexed.get(), &size);
  REQUIRE(size == expected.size());
  CHECK(std::memcmp(data, expected.data(), size) == 0);
  fails<atrous_bytes>(ATROUS_INVALID_ARGUMENT, "2", [&](atrous_bytes** out) {
    return atrous_png_encode(&map, palette, 2, out);  // label 2 has no colour
  });
  fails<atrous_bytes>(ATROUS_INVALID_ARGUMENT, "expected 1 channel, found 3",
                      [&](atrous_bytes** out) { return atrous_png_encode(&view, palette, 3, out); });
  fails<atrous_picture>(ATROUS_IO, "nosuch", [&](atrous_picture** out) {
    return atrous_picture_read((folder / "nosuch.png").c_str(), out);
  });
  fails<atrous_picture>(ATROUS_UNSUPPORTED, "words", [&](atrous_picture** out) {
    return atrous_picture_decode("plain text, no picture", 22, "words", out);
  });
  CHECK(atrous_png_write("/no/such/folder/x.png", &view, nullptr, 0) == ATROUS_IO);
}

TEST_CASE("C: instances, their masks and their overlay are those of the C++ library") {
  const StateDict state = cli_testing::small_state();
  const Model model =
      make_model(StateDict(state), std::nullopt, {.hyper = Hyper(cli_testing::small_sides), .threads = 1});
  Detector detector(model, {.threads = 1});
  const Image picture = photo(90, 60, 2);
  const Instances expected = detector.detect(picture, {.score = 0.1F, .detections = 7});
  REQUIRE(expected.found.size() == 7);
  const auto c = c_model(state, {.arch = cli_testing::small_sides});
  atrous_model_info model_info{};
  model_info.size = sizeof model_info;
  REQUIRE(atrous_model_get_info(c.get(), &model_info) == ATROUS_OK);
  CHECK(model_info.task == ATROUS_INSTANCES);
  CHECK(model_info.has_masks == 1);
  const auto session = c_session(c.get());
  const auto result = segmented(session.get(), picture, {.score = 0.1F, .max_instances = 7});
  const atrous_result_info info = info_of(result.get());
  REQUIRE(info.instances == 7);
  CHECK(labels_of_result(info) == painted_labels(expected).labels);
  for (std::size_t i = 0; i < 7; ++i) {
    atrous_instance one{};
    one.size = sizeof one;
    REQUIRE(atrous_result_get_instance(result.get(), static_cast<int>(i), &one) == ATROUS_OK);
    CHECK(Box{one.x1, one.y1, one.x2, one.y2} == expected.found[i].box);
    CHECK(one.score == expected.found[i].score);
    CHECK(one.label == expected.found[i].label);
    for (const float threshold : {0.F, 0.75F}) {
      std::vector<std::uint8_t> mask(90 * 60);
      REQUIRE(atrous_result_get_mask(result.get(), static_cast<int>(i), threshold, mask.data(),
                                     mask.size()) == ATROUS_OK);
      CHECK(mask == pasted_mask(expected, i, threshold == 0 ? 0.5F : threshold));
    }
  }
  CHECK(drawing(result.get(), ATROUS_DRAW_OVERLAY, &picture) == instance_overlay(picture, expected, model));
  std::uint8_t small[3];
  CHECK(atrous_result_get_mask(result.get(), 0, 0, small, 3) == ATROUS_INVALID_ARGUMENT);
  CHECK(std::string(atrous_last_error()) == "mask: expected 5400 bytes for 90x60, found 3");
  CHECK(atrous_result_get_mask(result.get(), 7, 0, small, 3) == ATROUS_INVALID_ARGUMENT);
  const atrous_image view = view_of(picture);
  const auto refused = [&](std::string_view word, atrous_segment_options options) {
    options.size = sizeof options;
    fails<atrous_result>(ATROUS_INVALID_ARGUMENT, word, [&](atrous_result** out) {
      return atrous_segment(session.get(), &view, &options, out);
    });
  };
  refused("finds instances", {.want = ATROUS_CONFIDENCE});
  refused("finds instances", {.tile = 32});
  const atrous_protocol_options flip{.size = sizeof flip, .flip = 1};
  refused("finds instances", {.protocol = &flip});
  refused("keep their proportions", {.resize = ATROUS_RESIZE_EXACT, .width = 40, .height = 40});
  refused("found a longer one of 40", {.resize = ATROUS_RESIZE_LONGER, .width = 40});
  const float input[3] = {};
  atrous_result* none = nullptr;
  CHECK(atrous_segment_batch(session.get(), input, 1, 1, 1, nullptr, &none) == ATROUS_UNSUPPORTED);
  fails<atrous_bytes>(ATROUS_UNSUPPORTED, "instances", [&](atrous_bytes** out) {
    return atrous_evaluate(c.get(), "pairs", "/", nullptr, out);
  });
}

TEST_CASE("C: an evaluation is the JSON of the C++ library, and a caller may end it") {
  const evaluate_testing::Pairs pairs;
  const auto c = c_model();
  const std::string photos = pairs.folder / "photos", labels = pairs.folder / "labels";
  struct Seen {
    std::size_t calls = 0, all = 0, stop_at = 0;
  } seen;
  atrous_evaluate_options options{};
  options.size = sizeof options;
  options.labels = labels.c_str();
  options.threads = 1;
  options.user = &seen;
  options.progress = [](void* user, std::size_t done, std::size_t all) {
    Seen& s = *static_cast<Seen*>(user);
    s.all = all;
    return static_cast<int>(++s.calls == s.stop_at && done > 0);
  };
  const auto run = [&] {
    const auto bytes = made<atrous_bytes>(
        [&](atrous_bytes** out) { return atrous_evaluate(c.get(), "pairs", photos.c_str(), &options, out); });
    std::size_t size = 0;
    const auto* data = static_cast<const char*>(atrous_bytes_data(bytes.get(), &size));
    return cli_testing::Json::parse(std::string(data, size));
  };
  const Model model = make_model(StateDict(state_of_test()), std::nullopt, {.name = "tiny", .threads = 1});
  for (const int limit : {0, 3}) {
    options.limit = limit;
    Dataset dataset = pairs.open();
    if (limit > 0) dataset.samples.resize(3);
    EvaluateOptions how{.session = {.threads = 1}};
    how.model = "tiny";
    how.dataset = described(dataset, 6);
    cli_testing::Json expected = cli_testing::Json::parse(evaluation_json(evaluate(model, dataset, how)));
    cli_testing::Json found = run();
    for (auto* json : {&expected, &found}) {  // clocks differ
      json->erase("seconds");
      for (auto& image : (*json)["per_image"]) image.erase("seconds");
    }
    CHECK(found == expected);
    CHECK(seen.all == (limit > 0 ? 3 : 6));
  }
  // Behind a CRF and mirrored too; in tiles; by a program that knows neither.
  const atrous_crf_options crf{.size = sizeof crf, .iterations = 2};
  const atrous_protocol_options flip{.size = sizeof flip, .flip = 1};
  options.limit = 2;
  options.crf = &crf;
  options.protocol = &flip;
  cli_testing::Json found = run();
  CHECK(found["crf"]["iterations"] == 2);
  CHECK(found["protocol"]["flip"] == true);
  options.crf = nullptr;
  options.protocol = nullptr;
  options.tile = 16;
  options.at_original = 1;
  found = run();
  CHECK(found["tiles"]["tile"] == 16);
  CHECK(found["tiles"]["overlap"] == 2);
  options.size = 80;  // of the first version
  CHECK_FALSE(run().contains("tiles"));
  options.size = sizeof options;
  options.tile = 0;
  options.at_original = 0;
  options.limit = 0;
  seen = {.stop_at = 1};
  CHECK(run()["images"] < 6);
  fails<atrous_bytes>(ATROUS_INVALID_ARGUMENT, "nosuch", [&](atrous_bytes** out) {
    return atrous_evaluate(c.get(), "nosuch", photos.c_str(), nullptr, out);
  });
  fails<atrous_bytes>(ATROUS_IO, "/no/such", [&](atrous_bytes** out) {
    return atrous_evaluate(c.get(), "voc", "/no/such", nullptr, out);
  });
}

}  // namespace atrous::c_test
