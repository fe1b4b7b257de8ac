// C: photos, batches and instances, against the C++ library behind it. That the interface is C:
// tests/programs/c.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "runtime/drawing/pictures.h"
#include "runtime/instances/instance_overlay.h"
#include "tests/support/c_testing.h"
#include "tests/support/instance_bench.h"

namespace atrous::c_segment_test {

using namespace atrous::c_testing;

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

}  // namespace atrous::c_segment_test
