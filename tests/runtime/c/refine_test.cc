// C: CRFs, test protocols and tiles, against the C++ library and against the CRF's authors.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/drawing/pictures.h"
#include "runtime/image/image_read.h"
#include "runtime/image/npy.h"
#include "runtime/tiles/tiled.h"
#include "tests/support/c_testing.h"

namespace atrous::c_refine_test {

using namespace atrous::c_testing;

namespace {

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

}  // namespace

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

}  // namespace atrous::c_refine_test
