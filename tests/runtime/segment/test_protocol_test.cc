// Test protocols: sizes and tiles against their definition, and what holds of the averages. The averages
// themselves are compared with a computation in PyTorch by tests/python/test_protocols.py.
#include "runtime/segment/test_protocol.h"
#include "runtime/engine/plan.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <limits>
#include <numeric>

#include "runtime/engine/program.h"
#include "runtime/segment/scale_list.h"
#include "tests/support/runtime_testing.h"

namespace atrous::test_protocol_test {

using namespace atrous::runtime_testing;

namespace {

using Size = std::pair<int, int>;

TestProtocol tiled(TestStyle style, int base, int tile, int overlap = -1) {
  return {.style = style,
          .scales = {0.5, 1, 1.5},
          .flip = true,
          .base_size = base,
          .tile_width = tile,
          .tile_height = tile,
          .overlap = overlap};
}

// A model of five classes and what protocols say of a photo.
struct Fixture {
  const Model model = tiny_model("deeplabv3");
  Session session{model.program, {.threads = 1}};
  const Image dog = photo(48, 33);
  Preparation preparation = model.preparation;

  Tensor run(const TestProtocol& p, const Image& picture, PixelSize size) {
    return protocol_probabilities(session, model, picture, preparation, size, p);
  }
  Tensor run(const TestProtocol& p) { return run(p, dog, {dog.width, dog.height}); }
};

float apart(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  float most = 0;
  for (std::size_t i = 0; i < a.values().size(); ++i)
    most = std::max(most, std::abs(a.values()[i] - b.values()[i]));
  return most;
}

Image mirrored(const Image& image) {
  Image out = image;
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x)
      std::copy_n(image.row(y) + 3 * x, 3, out.pixels.data() + 3 * (y * image.width + image.width - 1 - x));
  return out;
}

Tensor mirrored(const Tensor& map) {
  Tensor out(map.shape());
  for (std::int64_t y = 0; y < map.shape().h; ++y)
    for (std::int64_t x = 0; x < map.shape().w; ++x)
      std::copy_n(map.view().pixel(0, y, x), map.shape().c, out.view().pixel(0, y, map.shape().w - 1 - x));
  return out;
}

}  // namespace

// Worked out by hand from each publisher's formula.
TEST_CASE("a photo's size at a scale is rounded as each publisher rounds it") {
  const TestProtocol semseg = tiled(TestStyle::semseg, 512, 473), encnet = tiled(TestStyle::encnet, 520, 480);
  CHECK(scaled_size(semseg, 1, 500, 375) == Size{512, 384});
  CHECK(scaled_size(semseg, 1.75, 375, 500) == Size{672, 896});
  CHECK(scaled_size(semseg, 0.5, 683, 683) == Size{256, 256});
  CHECK(scaled_size(tiled(TestStyle::semseg, 5, 3), 0.5, 10, 10) == Size{2, 2});  // 2.5: half to even
  CHECK(scaled_size(tiled(TestStyle::semseg, 3, 3), 1, 2, 1) == Size{3, 2});      // 1.5
  CHECK(scaled_size(tiled(TestStyle::semseg, 5, 3), 1, 2, 1) == Size{5, 2});      // 2.5
  CHECK(scaled_size(encnet, 0.5, 500, 375) == Size{260, 195});
  CHECK(scaled_size(encnet, 1.75, 375, 500) == Size{683, 910});                 // 682.5: half up
  CHECK(scaled_size(tiled(TestStyle::encnet, 5, 3), 0.5, 2, 1) == Size{3, 2});  // ceil(2.5), 1.5
  CHECK(scaled_size({.style = TestStyle::deeplabv2}, 0.75, 65, 97) == Size{48, 72});
  CHECK(scaled_size({}, 0.5, 5, 7) == Size{2, 4});  // 2.5 and 3.5, half to even
  CHECK(scaled_size({}, 1.25, 100, 50) == Size{125, 62});
  CHECK(
      mentions(sentence(ErrorCode::invalid_argument, [&] { scaled_size(semseg, 0.5, 2000, 1); }), "2000x1"));
  CHECK(mentions(sentence(ErrorCode::limit, [&] { scaled_size({}, 8, 3000, 10); }), "24000x80"));
}

TEST_CASE("tiles lie two thirds of a tile apart: semseg's last one ends with the picture, encnet's beyond") {
  using Starts = std::vector<int>;
  const TestProtocol semseg = tiled(TestStyle::semseg, 512, 473), encnet = tiled(TestStyle::encnet, 520, 480);
  CHECK(tile_starts(semseg, 896, 473) == Starts{0, 316, 423});
  CHECK(tile_starts(semseg, 473, 473) == Starts{0});
  CHECK(tile_starts(semseg, 474, 473) == Starts{0, 1});
  CHECK(tile_starts(semseg, 341, 473) == Starts{-66});  // 132 around it
  CHECK(tile_starts(semseg, 472, 473) == Starts{0});    // one behind it
  CHECK(tile_starts(encnet, 910, 480) == Starts{0, 320, 640});
  CHECK(tile_starts(encnet, 480, 480) == Starts{0});
  CHECK(tile_starts(encnet, 481, 480) == Starts{0, 320});
  CHECK(tile_starts(encnet, 195, 480) == Starts{0});
  CHECK(tile_starts(tiled(TestStyle::semseg, 512, 473, 100), 900, 473) == Starts{0, 373, 427});
  CHECK(tile_starts(tiled(TestStyle::encnet, 520, 480, 0), 961, 480) == Starts{0, 480, 960});
  CHECK(tile_starts(tiled(TestStyle::encnet, 9, 1), 3, 1) == Starts{0, 1, 2});
}

TEST_CASE("every pixel lies on a tile, and semseg's tiles reach beyond no picture that is larger") {
  for (const TestStyle style : {TestStyle::semseg, TestStyle::encnet})
    for (int tile = 1; tile < 24; ++tile)
      for (int size = 1; size < 70; ++size)
        for (const int overlap : {-1, 0, tile - 1}) {
          std::vector<int> seen(static_cast<std::size_t>(size));
          for (const int start : tile_starts(tiled(style, 10, tile, overlap), size, tile)) {
            if (size >= tile && style == TestStyle::semseg) REQUIRE((start >= 0 && start + tile <= size));
            REQUIRE(start < size);
            for (int i = std::max(0, start); i < std::min(size, start + tile); ++i)
              ++seen[static_cast<std::size_t>(i)];
          }
          CAPTURE(str_cat(tile, ' ', size, ' ', overlap));
          REQUIRE(std::ranges::count(seen, 0) == 0);
        }
}

TEST_CASE_FIXTURE(Fixture, "probabilities of every style are at the size asked for and sum to one") {
  for (const TestProtocol& p :
       {TestProtocol{.scales = {0.5, 1.5}, .flip = true}, tiled(TestStyle::semseg, 60, 41),
        tiled(TestStyle::encnet, 60, 41), TestProtocol{.style = TestStyle::deeplabv2, .scales = {0.5, 1}}}) {
    CAPTURE(in_words(p));
    const Tensor found = run(p, dog, {31, 57});
    REQUIRE(found.shape() == Shape{1, 57, 31, 5});
    for (std::int64_t i = 0; i < found.shape().pixels(); ++i)
      REQUIRE(std::accumulate(found.data() + 5 * i, found.data() + 5 * i + 5, 0.f) ==
              doctest::Approx(1).epsilon(1e-5));
  }
}

TEST_CASE_FIXTURE(Fixture, "with mirror images a mirrored photo's probabilities are the photo's, mirrored") {
  TestProtocol two_tiles = tiled(TestStyle::semseg, 48, 41);  // from 0 and from 7
  two_tiles.scales = {1};
  for (const TestProtocol& p :
       {TestProtocol{.scales = {0.7, 1, 1.3}, .flip = true}, tiled(TestStyle::semseg, 40, 64), two_tiles}) {
    CAPTURE(in_words(p));
    CHECK(apart(run(p, mirrored(dog), {48, 33}), mirrored(run(p))) < 2e-6f);
  }
  const TestProtocol once{.scales = {0.7, 1}};
  CHECK(apart(run(once, mirrored(dog), {48, 33}), mirrored(run(once))) > 1e-3f);
}

TEST_CASE_FIXTURE(Fixture, "one tile that is the picture gives what the network alone gives") {
  TestProtocol p = tiled(TestStyle::semseg, 48, 48);
  p.scales = {1};
  p.flip = false;
  p.tile_height = 33;
  const SegmentOptions how{.resize = ResizeRule{.kind = ResizeRule::Kind::none}, .probabilities = true};
  const Tensor plain = segment(session, model, dog, how).probabilities;
  CHECK(apart(run(p), plain) < 1e-6f);
  p.style = TestStyle::encnet;
  CHECK(apart(run(p), plain) < 1e-6f);
  CHECK(apart(run({.style = TestStyle::deeplabv2}), plain) < 1e-6f);
}

TEST_CASE_FIXTURE(Fixture, "the averages are bitwise the same for any number of threads") {
  for (const TestProtocol& p :
       {TestProtocol{.scales = {0.5, 1.5}, .flip = true}, tiled(TestStyle::semseg, 60, 41),
        tiled(TestStyle::encnet, 60, 41), TestProtocol{.style = TestStyle::deeplabv2, .scales = {0.5, 1}}}) {
    const std::vector<float> one = values(run(p).view());
    for (const int threads : {2, 3}) {
      Session other(model.program, {.threads = threads});
      CHECK(
          same_bits(values(protocol_probabilities(other, model, dog, preparation, {48, 33}, p).view()), one));
    }
  }
}

TEST_CASE_FIXTURE(Fixture, "segment takes labels, confidence, probabilities and a CRF of the averages") {
  SegmentOptions how{.resize = ResizeRule{.kind = ResizeRule::Kind::none},
                     .probabilities = true,
                     .protocol = tiled(TestStyle::semseg, 60, 41)};
  const Segmentation s = segment(session, model, dog, how);
  const Tensor expected = run(*how.protocol);
  CHECK(same_bits(values(s.probabilities.view()), values(expected.view())));
  std::vector<float> confidence;
  CHECK(s.labels.labels == label(model, expected.view(), {}, &confidence).labels);
  CHECK(same_bits(s.confidence, confidence));
  CHECK(Size{s.input_width, s.input_height} == Size{41, 41});
  how.crf = CrfParameters{.iterations = 2};
  const Segmentation sharp = segment(session, model, dog, how);
  Tensor q = run(*how.protocol);
  dense_crf(dog, q.view(), {.parameters = *how.crf, .threads = 1});
  CHECK(same_bits(values(sharp.probabilities.view()), values(q.view())));
  CHECK(sharp.labels.labels == label(model, q.view(), {}, nullptr).labels);
}

TEST_CASE(
    "of a binary network the probabilities are those of its two classes, and the threshold is on them") {
  const Model model = make_model(binary_state(), std::nullopt, {.threads = 1});
  Session session(model.program, {.threads = 1});
  SegmentOptions how{.resize = ResizeRule{.kind = ResizeRule::Kind::none},
                     .probabilities = true,
                     .threshold = 0.7,
                     .protocol = TestProtocol{.scales = {0.75, 1}}};
  const Segmentation s = segment(session, model, photo(48, 32), how);
  REQUIRE(s.probabilities.shape() == Shape{1, 32, 48, 2});
  std::size_t foreground = 0;
  for (std::size_t p = 0; p < s.labels.labels.size(); ++p) {
    const float* both = s.probabilities.data() + 2 * p;
    REQUIRE(both[0] + both[1] == doctest::Approx(1));
    REQUIRE(s.labels.labels[p] == (both[1] > 0.7f));
    foreground += s.labels.labels[p];
  }
  CHECK(foreground > 0);
  how.protocol.reset();
  how.threshold.reset();
  const Segmentation plain = segment(session, model, photo(48, 32), how);
  for (std::size_t p = 0; p < plain.labels.labels.size(); ++p)
    REQUIRE(plain.labels.labels[p] == (plain.probabilities.data()[2 * p + 1] > 0.5f));
}

TEST_CASE_FIXTURE(Fixture, "the memory limit counts the averages, and a limit changes no bit") {
  const TestProtocol p = tiled(TestStyle::semseg, 60, 41);
  const SegmentOptions how{
      .resize = ResizeRule{.kind = ResizeRule::Kind::none}, .probabilities = true, .protocol = p};
  const std::size_t maps = protocol_bytes(p, model, {48, 33}, {48, 33}),
                    arena = make_plan(*model.program, {1, 41, 41, 3}, 1).arena_bytes(),
                    whole = model.program->packed_bytes() + arena + maps;
  // The result, and the map and the picture at scale 1.5.
  CHECK(maps > (48 * 33 * 5 + 90 * 62 * 8) * sizeof(float));
  Session enough(model.program, {.threads = 1, .memory_limit = whole});
  CHECK(same_bits(values(segment(enough, model, dog, how).probabilities.view()), values(run(p).view())));
  Session less(model.program, {.threads = 1, .memory_limit = model.program->packed_bytes() + maps - 1});
  CHECK(mentions(sentence(ErrorCode::limit, [&] { segment(less, model, dog, how); }), "limit"));
}

TEST_CASE_FIXTURE(Fixture, "a photo at its only scale is segmented as without a protocol") {
  const SegmentOptions plain{.resize = ResizeRule{.kind = ResizeRule::Kind::shorter_side, .width = 40}};
  SegmentOptions with = plain;
  with.protocol = TestProtocol{};
  CHECK(is_single_run(*with.protocol));
  CHECK(same_bits(segment(session, model, dog, with).confidence,
                  segment(session, model, dog, plain).confidence));
  with.resize.reset();
  with.protocol = published_protocol("torchvision", model);
  const Segmentation s = segment(session, model, dog, with);
  CHECK(Size{s.input_width, s.input_height} == Size{756, 520});
}

TEST_CASE_FIXTURE(Fixture, "published protocols have their publishers' numbers") {
  const auto words = [&](const char* name, const Model& m) { return in_words(published_protocol(name, m)); };
  CHECK(words("semseg", model) ==
        "semseg: scale 1 of longer side 512, tiles of 473x473, mirrored too, probabilities averaged");
  CHECK(words("encnet", model) ==
        "encnet: scales 0.5, 0.75, 1, 1.25, 1.5, 1.75 of longer side 520, tiles of 480x480, mirrored too, "
        "exponentials averaged");
  CHECK(words("deeplabv2", model) == "deeplabv2: scales 0.5, 0.75, 1, largest logits");
  CHECK(words("torchvision", model) == "whole pictures: scale 1");
  Model other = model;
  other.architecture = "deeplabv2-kazuto-resnet101-msc";
  CHECK(words("deeplabv2", other) == "deeplabv2: scale 1");
  other.classes.resize(19);
  CHECK(words("semseg", other) ==
        "semseg: scale 1 of longer side 2048, tiles of 713x713, mirrored too, probabilities averaged");
  other.classes.resize(150);
  other.architecture = "encnet-resnet101s";
  CHECK(mentions(words("encnet", other), "longer side 640, tiles of 576x576"));
  CHECK(
      mentions(sentence(ErrorCode::invalid_argument, [&] { published_protocol("mmseg", model); }), "mmseg"));
}

TEST_CASE("scales are decimal numbers with one comma between them") {
  using Scales = std::vector<double>;
  CHECK(parse_scales("1") == Scales{1});
  CHECK(parse_scales("0.5,0.75,1") == Scales{0.5, 0.75, 1});
  CHECK(parse_scales("-2,1.25e0,.5,2.") == Scales{-2, 1.25, 0.5, 2});
  std::string many = "0.1";  // check() says how many there may be
  for (int i = 1; i < 100; ++i) many += ",0.1";
  CHECK(parse_scales(many) == Scales(100, 0.1));
  CHECK(parse_scales(std::string_view("0.5,19").substr(0, 5)) == Scales{0.5, 1});  // nothing beyond the view
  for (const std::string_view wrong :
       {"",   ",",     "1,",  ",1",    "1,,2", "1;2", "1.2.3", "one",      "1 ",  " 1", "1, 2",
        "+1", "0x1p1", "0x1", "1,two", "1\n",  "1e",  "1e999", "1,1e-999", "--1", "1/2"}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_scales(wrong));
  }
  CHECK_FALSE(parse_scales({}));
  CHECK_FALSE(parse_scales(std::string_view("1\0,2", 4)));
}

TEST_CASE_FIXTURE(Fixture, "protocols that cannot be are refused in a sentence") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto scales = [](std::vector<double> all) { return TestProtocol{.scales = std::move(all)}; };
  const auto with_tile = [](int width, int height) {
    TestProtocol p = tiled(TestStyle::semseg, 60, 41);
    p.tile_width = width;
    p.tile_height = height;
    return p;
  };
  struct Row {
    TestProtocol protocol;
    const char* part;
  };
  const Row rows[] = {
      {scales({}), "0 scales"},
      {scales(std::vector<double>(17, 1.0)), "17 scales"},
      {scales({1, 0}), "scale 0, "},
      {scales({-0.5}), "scale -0.5"},
      {scales({nan}), "scale nan"},
      {scales({std::numeric_limits<double>::infinity()}), "scale inf"},
      {scales({8.5}), "scale 8.5"},
      {TestProtocol{.base_size = 512}, "no base size"},
      {TestProtocol{.style = TestStyle::deeplabv2, .overlap = 3}, "no tiles"},
      {TestProtocol{.style = TestStyle::semseg, .base_size = 512}, "a side of 0"},
      {with_tile(41, 16385), "a side of 16385"},
      {with_tile(-1, 41), "a side of -1"},
      {tiled(TestStyle::semseg, 60, 41, 41), "an overlap of 41, expected less than a tile's 41"},
      {tiled(TestStyle::encnet, 60, 41, -2), "an overlap of -2"},
      {TestProtocol{.style = TestStyle::deeplabv2, .flip = true}, "mirrors nothing"},
      {TestProtocol{.style = TestStyle::deeplabv2, .scales = {0.5}}, "scale 1, which is missing"}};
  for (const Row& row : rows) {
    CHECK_MESSAGE(mentions(sentence(ErrorCode::invalid_argument, [&] { check(row.protocol); }), row.part),
                  row.part);
    const SegmentOptions how{.protocol = row.protocol};
    CHECK(sentence(ErrorCode::invalid_argument, [&] { segment(session, model, dog, how); }) != "");
  }
  SegmentOptions how{.logits = true, .protocol = scales({0.5, 1})};
  CHECK(
      mentions(sentence(ErrorCode::invalid_argument, [&] { segment(session, model, dog, how); }), "logits"));
  how = {.upsampling = Upsampling::transposed, .protocol = scales({0.5, 1})};
  CHECK(mentions(sentence(ErrorCode::invalid_argument, [&] { segment(session, model, dog, how); }),
                 "bilinear"));
  how = {.protocol = scales({0.5, 1})};
  const Tensor input = noise({1, 32, 48, 3});
  CHECK(mentions(sentence(ErrorCode::invalid_argument, [&] { segment(session, model, input.view(), how); }),
                 "a photo, not input"));
}

TEST_CASE("exponentials that overflow are an error, not labels") {
  const Model model =
      make_model(scaled(tiny_state("fcn"), "classifier.4.weight", 1000), std::nullopt, {.threads = 1});
  Session session(model.program, {.threads = 1});
  const SegmentOptions how{.protocol = tiled(TestStyle::encnet, 60, 41)};
  CHECK(mentions(sentence(ErrorCode::not_finite, [&] { segment(session, model, photo(48, 32), how); }),
                 "exponentials"));
}

}  // namespace atrous::test_protocol_test
