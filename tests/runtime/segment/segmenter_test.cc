#include "runtime/segment/segmenter.h"

#include <doctest/doctest.h>

#include "runtime/engine/plan.h"

#include <set>

#include "layers/ops/argmax.h"
#include "layers/ops/softmax.h"
#include "runtime/engine/program.h"
#include "runtime/image/pillow_resize.h"
#include "runtime/image/preprocess.h"
#include "tests/support/runtime_testing.h"

namespace atrous::segmenter_test {

using namespace atrous::runtime_testing;

namespace {

struct Fixture {
  Model model = tiny_model("deeplabv3", {.aux = true, .threads = 1});
  Session session{model.program, {.threads = 1}};
};

// The share of pixels that differ.
double disagreement(const std::vector<std::uint8_t>& a, const std::vector<std::uint8_t>& b) {
  if (a.size() != b.size() || a.empty()) return 1;
  std::size_t count = 0;
  for (std::size_t i = 0; i < a.size(); ++i) count += a[i] != b[i];
  return static_cast<double>(count) / static_cast<double>(a.size());
}

std::vector<std::uint8_t> argmax(ConstView logits) {
  std::vector<std::uint8_t> labels(static_cast<std::size_t>(logits.shape.pixels()));
  argmax_reference(logits, labels);
  return labels;
}

ResizeRule exactly(int width, int height) {
  return {.kind = ResizeRule::Kind::exact, .width = width, .height = height};
}
const ResizeRule none{.kind = ResizeRule::Kind::none, .width = 0};

std::size_t distinct(const std::vector<std::uint8_t>& labels) {
  return std::set<std::uint8_t>(labels.begin(), labels.end()).size();
}

}  // namespace

TEST_CASE_FIXTURE(Fixture, "a session segments for the model whose network it runs, and for no other") {
  const Model other = tiny_model("fcn"), alike = tiny_model("deeplabv3", {.aux = true, .threads = 1});
  for (const Model& stranger : {other, alike}) {
    const auto refused = [&](const auto& action) {
      CHECK(mentions(sentence(ErrorCode::invalid_argument, action),
                     "the session runs another model's network"));
    };
    refused([&] { segment(session, stranger, photo(20, 20)); });
    refused([&] { segment(session, stranger, noise({1, 8, 8, 3}).view()); });
    session.run(noise({1, 8, 8, 3}).view());
    refused([&] { full_logits(session, stranger, 0, 8, 8, Upsampling::bilinear); });
  }
  const Model copy = model;  // copies share the program
  CHECK(segment(session, copy, photo(20, 20)).labels.width == 20);
}

TEST_CASE_FIXTURE(Fixture, "a label map lies on the photo, whatever size the network saw") {
  const Image image = photo(61, 45);
  const Segmentation s = segment(session, model, image, {.resize = exactly(40, 24)});
  CHECK(s.labels.width == 61);
  CHECK(s.labels.height == 45);
  CHECK(s.labels.labels.size() == 61 * 45);
  CHECK(s.confidence.size() == 61 * 45);
  CHECK(!s.resized);
  CHECK(&picture_under(s, image) == &image);
  CHECK(s.input_width == 40);
  CHECK(s.input_height == 24);
  CHECK(s.logits.shape() == Shape{});
  CHECK(distinct(s.labels.labels) > 1);
}

TEST_CASE_FIXTURE(Fixture, "at the input's size the picture is the resized photo") {
  const Image image = photo(61, 45);
  const Segmentation s = segment(session, model, image, {.resize = exactly(40, 24), .at_input = true});
  CHECK(s.labels.width == 40);
  CHECK(s.labels.height == 24);
  CHECK(s.resized == resize_bilinear(image, 40, 24));
  CHECK(&picture_under(s, image) == &*s.resized);
  CHECK(!segment(session, model, image, {.resize = none, .at_input = true}).resized);
}

TEST_CASE_FIXTURE(Fixture, "the model's own resize rule holds unless another one is given") {
  model.preparation.resize = {.kind = ResizeRule::Kind::shorter_side, .width = 30};
  const Image image = photo(61, 45);
  const Segmentation own = segment(session, model, image);
  CHECK(own.input_height == 30);
  CHECK(own.input_width == 40);  // int(30 * 61 / 45)
  CHECK(segment(session, model, image, {.resize = none}).input_width == 61);
}

TEST_CASE_FIXTURE(Fixture, "a centre crop gives labels of the crop, since no others are known") {
  ResizeRule rule = exactly(40, 30);
  rule.center_crop = 24;
  const Image image = photo(61, 45);
  const Segmentation s = segment(session, model, image, {.resize = rule});
  CHECK(s.labels.width == 24);
  CHECK(s.labels.height == 24);
  CHECK(s.resized == center_crop(resize_bilinear(image, 40, 30), 24));
}

TEST_CASE_FIXTURE(Fixture, "preparing is resizing and normalising") {
  const Image image = photo(30, 20);
  Preparation how;
  how.resize = exactly(17, 9);
  const Prepared prepared = prepare(image, how, 1);
  const Image small = resize_bilinear(image, 17, 9);
  Tensor expected({1, 9, 17, 3});
  normalise(small, how, expected.view());
  CHECK(prepared.picture == small);
  CHECK(same_bits(values(prepared.input.view()), values(expected.view())));
}

TEST_CASE_FIXTURE(Fixture, "segmenting a photo is preparing, running and labelling it") {
  const Image image = photo(37, 29);
  const Segmentation s = segment(session, model, image, {.resize = exactly(48, 40), .logits = true});
  Preparation how = model.preparation;
  how.resize = exactly(48, 40);
  Session other(model.program, {.threads = 1});
  other.run(prepare(image, how, 1).input.view());
  std::vector<float> confidence;
  CHECK(s.labels == label(other, 0, 29, 37, &confidence));
  CHECK(same_bits(s.confidence, confidence));
  CHECK(s.logits.shape() == Shape{1, 40, 48, 5});
  CHECK(same_bits(values(s.logits.view()),
                  values(full_logits(other, model, 0, 40, 48, Upsampling::bilinear).view())));
}

TEST_CASE_FIXTURE(Fixture, "labels are the argmax of the upsampled logits, and confidence its probability") {
  session.run(noise({2, 33, 49, 3}).view());
  const std::pair<int, int> sizes[] = {{33, 49}, {70, 101}, {5, 7}, {1, 1}, {9, 300}};
  for (const auto& size : sizes)
    for (const std::int64_t n : {0, 1}) {
      const int height = size.first, width = size.second;
      CAPTURE(height);
      CAPTURE(width);
      CAPTURE(n);
      std::vector<float> confidence;
      const LabelMap map = label(session, n, height, width, &confidence);
      Tensor logits = full_logits(session, model, n, height, width, Upsampling::bilinear);
      CHECK(disagreement(map.labels, argmax(logits.view())) < 0.001);

      softmax_reference({}, logits.view(), logits.view());
      double worst = 0;
      for (std::size_t p = 0; p < confidence.size(); ++p) {
        const float* pixel = logits.data() + 5 * p;
        worst = std::max(worst,
                         std::abs(static_cast<double>(confidence[p] - *std::max_element(pixel, pixel + 5))));
      }
      CHECK(confidence.size() == map.labels.size());
      CHECK(worst < 1e-5);
    }
}

TEST_CASE_FIXTURE(Fixture, "labels do not depend on whether confidence is asked for, nor on the threads") {
  const Tensor input = noise({1, 33, 49, 3});
  session.run(input.view());
  std::vector<float> confidence;
  const LabelMap expected = label(session, 0, 70, 101, &confidence);
  CHECK(label(session, 0, 70, 101, nullptr) == expected);
  for (const int threads : {2, 3, 7}) {
    Session other(model.program, {.threads = threads});
    other.run(input.view());
    std::vector<float> same;
    CHECK(label(other, 0, 70, 101, &same) == expected);
    CHECK(same_bits(same, confidence));
  }
}

TEST_CASE_FIXTURE(Fixture, "full logits at the map's own size are the map") {
  session.run(noise({1, 40, 64, 3}).view());
  const auto low = values(session.output());
  CHECK(same_bits(values(full_logits(session, model, 0, 5, 8, Upsampling::bilinear).view()), low));
}

TEST_CASE_FIXTURE(Fixture, "transposed upsampling equals bilinear away from the borders") {
  const int height = 64, width = 80, border = 4;
  session.run(noise({1, height, width, 3}).view());
  const Tensor a = full_logits(session, model, 0, height, width, Upsampling::bilinear);
  const Tensor b = full_logits(session, model, 0, height, width, Upsampling::transposed);
  double inside = 0, at_border = 0;
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < 5; ++c) {
        const double d = std::abs(static_cast<double>(a.view().at(0, y, x, c) - b.view().at(0, y, x, c)));
        const bool in = y >= border && y < height - border && x >= border && x < width - border;
        double& worst = in ? inside : at_border;
        worst = std::max(worst, d);
      }
  CHECK(inside < 1e-4);
  CHECK(at_border > 1e-2);  // there the kernel reaches over the edge, where there is nothing
}

TEST_CASE_FIXTURE(Fixture, "transposed upsampling labels by its own logits") {
  const Image image = photo(64, 48);
  const SegmentOptions how{
      .resize = none, .at_input = true, .logits = true, .upsampling = Upsampling::transposed};
  const Segmentation s = segment(session, model, image, how);
  CHECK(s.logits.shape() == Shape{1, 48, 64, 5});
  CHECK(s.labels.labels == argmax(s.logits.view()));
  // At the photo's size, odd ones too, it grows by the output stride and is cut.
  for (const auto& [width, height] : {std::pair{33, 17}, {1, 1}, {8, 9}})
    CHECK(segment(session, model, photo(width, height), how).labels.labels.size() ==
          static_cast<std::size_t>(width * height));
}

TEST_CASE_FIXTURE(Fixture, "a batch gives each image what it gets alone, to the bit") {
  const Tensor batch = noise({3, 24, 41, 3});
  for (const Upsampling upsampling : {Upsampling::bilinear, Upsampling::transposed}) {
    const SegmentOptions how{.resize = {}, .logits = true, .upsampling = upsampling};
    const auto together = segment(session, model, ConstView(batch.view()), how);
    REQUIRE(together.size() == 3);
    for (std::int64_t n = 0; n < 3; ++n) {
      const ConstView one{batch.view().pixel(n, 0, 0), {1, 24, 41, 3}, 3};
      const auto alone = segment(session, model, one, how);
      REQUIRE(alone.size() == 1);
      const Segmentation& s = together[static_cast<std::size_t>(n)];
      CHECK(s.labels == alone[0].labels);
      CHECK(same_bits(s.confidence, alone[0].confidence));
      CHECK(same_bits(values(s.logits.view()), values(alone[0].logits.view())));
      CHECK(s.input_width == 41);
      CHECK(!s.resized);
    }
  }
  CHECK_FALSE(same_bits(segment(session, model, ConstView(batch.view()))[0].confidence,
                        segment(session, model, ConstView(batch.view()))[1].confidence));
}

TEST_CASE_FIXTURE(Fixture, "the auxiliary head's labels are those of its own map") {
  const Image image = photo(48, 32);
  const Segmentation aux = segment(session, model, image, {.resize = none, .output = "aux"});
  CHECK(aux.labels == label(session, 0, 32, 48, nullptr, "aux"));
  CHECK_FALSE(aux.labels == label(session, 0, 32, 48, nullptr, "out"));
  const auto unknown = [&] { segment(session, model, image, {.resize = none, .output = "side"}); };
  CHECK(mentions(sentence(ErrorCode::invalid_argument, unknown), "side"));
}

TEST_CASE_FIXTURE(Fixture, "what is not asked for is not there") {
  const Segmentation s = segment(session, model, photo(16, 16), {.resize = none, .confidence = false});
  CHECK(s.confidence.empty());
  CHECK(s.logits.shape() == Shape{});
  for (const ClassShare& c : class_shares(s)) CHECK(c.confidence == 0);
}

TEST_CASE_FIXTURE(Fixture, "sizes that make no picture are refused") {
  session.run(noise({1, 8, 8, 3}).view());
  CHECK_THROWS_AS(label(session, 0, 8, -1, nullptr), Error);
  CHECK_THROWS_AS(full_logits(session, model, 0, 0, 8, Upsampling::bilinear), Error);
  CHECK_THROWS_AS(segment(session, model, Image{}), Error);
  CHECK_THROWS_AS(segment(session, model, make_image(8, 8, 4), {.resize = none}), Error);
  CHECK_THROWS_AS(segment(session, model, ConstView(noise({1, 8, 8, 2}).view())), Error);
}

TEST_CASE_FIXTURE(Fixture, "the memory limit holds for upsampling too") {
  const Shape size{1, 32, 32, 3};
  const std::size_t network =
      model.program->packed_bytes() + make_plan(*model.program, size, 1).arena_bytes();
  Session tight(model.program, {.threads = 1, .memory_limit = network + 100});
  tight.run(noise(size).view());
  CHECK(mentions(sentence(ErrorCode::limit, [&] { label(tight, 0, 4000, 4000, nullptr); }),
                 str_cat(network + 100)));
}

TEST_CASE("class shares count every pixel once, the most frequent class first") {
  Segmentation s;
  s.labels = {4, 2, {7, 7, 0, 255, 7, 0, 0, 7}};
  s.confidence = {0.5f, 0.5f, 1.f, 0.25f, 0.75f, 0.5f, 0.f, 0.25f};
  const auto shares = class_shares(s);
  REQUIRE(shares.size() == 3);
  CHECK(shares[0].index == 7);
  CHECK(shares[0].pixels == 4);
  CHECK(shares[0].share == 0.5);
  CHECK(shares[0].confidence == 0.5);
  CHECK(shares[1].index == 0);
  CHECK(shares[1].pixels == 3);
  CHECK(shares[1].share == 0.375);
  CHECK(shares[1].confidence == 0.5);
  CHECK(shares[2].index == 255);
  CHECK(shares[2].confidence == 0.25);
}

TEST_CASE("classes of equal shares are listed by index") {
  Segmentation s;
  s.labels = {2, 2, {3, 1, 3, 1}};
  const auto shares = class_shares(s);
  REQUIRE(shares.size() == 2);
  CHECK(shares[0].index == 1);
  CHECK(shares[1].index == 3);
}

}  // namespace atrous::segmenter_test
