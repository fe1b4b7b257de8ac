// Networks of one logit: foreground where its sigmoid is above a threshold.
#include <doctest/doctest.h>

#include "runtime/evaluation/evaluate.h"
#include "runtime/evaluation/upsampled_scores.h"
#include "runtime/image/palette.h"
#include "tests/support/evaluate_testing.h"
#include "tests/support/runtime_testing.h"

namespace atrous::binary_model_test {

using namespace atrous::runtime_testing;

namespace {

constexpr ResizeRule as_it_is{ResizeRule::Kind::none, 0, 0, 0};

struct Binary {
  const Model model = make_model(binary_state(), std::nullopt, {.threads = 1});
  Session session{model.program, {.threads = 1}};
  const Image image = photo(48, 32);
};

double sigmoid(float z) { return 1 / (1 + std::exp(-static_cast<double>(z))); }

std::string model_error(ErrorCode code, const StateDict& state, const Metadata& metadata) {
  return sentence(code, [&] { make_model(state, metadata, {.threads = 1}); });
}

}  // namespace

TEST_CASE_FIXTURE(Binary, "a network of one logit has two classes, the background first") {
  CHECK(model.classes == std::vector<std::string>{"background", "foreground"});
  CHECK(model.palette == voc_palette(2));
  CHECK(model.answer().decision == Decision::sigmoid);
  CHECK(model.logits() == 1);
  CHECK(model.background == 0);
}

TEST_CASE_FIXTURE(Binary, "one logit: foreground where it is above 0, as sure as max(p, 1 - p)") {
  for (const Upsampling upsampling : {Upsampling::bilinear, Upsampling::transposed}) {
    const Segmentation s =
        segment(session, model, image, {.resize = as_it_is, .logits = true, .upsampling = upsampling});
    REQUIRE(s.logits.shape() == Shape{1, 32, 48, 1});
    const auto foreground = std::ranges::count(s.labels.labels, 1);
    CHECK(foreground > 300);
    CHECK(foreground < 1200);
    for (std::size_t p = 0; p < s.labels.labels.size(); ++p) {
      const float z = s.logits.values()[p];
      if (std::abs(z) > 1e-4f) CHECK(s.labels.labels[p] == (z > 0));
      CHECK(static_cast<double>(s.confidence[p]) ==
            doctest::Approx(std::max(sigmoid(z), 1 - sigmoid(z))).epsilon(1e-4));
    }
    const auto shares = class_shares(s);
    CHECK(shares.size() == 2);
    CHECK(shares[0].confidence >= 0.5);
  }
}

TEST_CASE_FIXTURE(Binary, "a threshold is a probability: the sigmoid above it is foreground") {
  const Segmentation plain = segment(session, model, image, {.resize = as_it_is, .logits = true});
  std::vector<float> sorted(plain.logits.values().begin(), plain.logits.values().end());
  std::ranges::sort(sorted);
  for (const std::size_t quarter : {std::size_t{1}, std::size_t{3}}) {
    const double threshold = sigmoid(sorted[sorted.size() * quarter / 4]);
    const Segmentation s = segment(session, model, image, {.resize = as_it_is, .threshold = threshold});
    for (std::size_t p = 0; p < s.labels.labels.size(); ++p) {
      const double probability = sigmoid(plain.logits.values()[p]);
      if (std::abs(probability - threshold) > 1e-4) CHECK(s.labels.labels[p] == (probability > threshold));
    }
    CHECK(same_bits(s.confidence, plain.confidence));
    CHECK_FALSE(s.labels == plain.labels);
  }
  CHECK(segment(session, model, image, {.resize = as_it_is, .threshold = 0.5}).labels == plain.labels);
}

TEST_CASE_FIXTURE(Binary, "a threshold that is no probability, or for several logits, is refused by number") {
  for (const double threshold : {0., 1., -0.5, 2., std::nan("")}) {
    CAPTURE(threshold);
    const std::string said = sentence(ErrorCode::invalid_argument, [&] {
      segment(session, model, image, {.resize = as_it_is, .threshold = threshold});
    });
    CHECK(mentions(said, "between 0 and 1"));
  }
  const Model several = tiny_model("fcn");
  Session other(several.program, {.threads = 1});
  CHECK(mentions(
      sentence(ErrorCode::invalid_argument, [&] { segment(other, several, image, {.threshold = 0.5}); }),
      "this one has 5"));
  CHECK(mentions(sentence(ErrorCode::invalid_argument,
                          [&] {
                            segment(other, several, noise({1, 16, 16, 3}).view(), {.threshold = 0.5});
                          }),
                 "this one has 5"));
}

TEST_CASE("metadata names the two classes of one logit, their colours and which is the background") {
  Metadata metadata;
  metadata.classes = {"road", "crack"};
  metadata.palette = {{1, 2, 3}, {4, 5, 6}};
  metadata.decision = Decision::sigmoid;
  const Model model = make_model(binary_state(), metadata, {.threads = 1});
  CHECK(model.classes == metadata.classes);
  CHECK(model.palette == metadata.palette);
  CHECK(model.background == 0);
  metadata.background = no_background;
  CHECK_FALSE(make_model(binary_state(), metadata, {.threads = 1}).background.has_value());
}

TEST_CASE("metadata that contradicts the logits is refused with both") {
  Metadata metadata;
  metadata.classes = {"crack"};
  CHECK(mentions(model_error(ErrorCode::mismatch, binary_state(), metadata),
                 "names 1 classes, the head has 1 channel, which stands for 2"));
  metadata.classes = {"a", "b", "c"};
  CHECK(mentions(model_error(ErrorCode::mismatch, binary_state(), metadata), "names 3 classes"));
  metadata.classes.clear();
  metadata.decision = Decision::softmax;
  CHECK(mentions(model_error(ErrorCode::mismatch, binary_state(), metadata), "softmax"));
  metadata.decision = Decision::sigmoid;
  const std::string said = model_error(ErrorCode::unsupported, tiny_state("fcn"), metadata);
  CHECK(mentions(said, "5 channels"));
  CHECK(mentions(said, "sigmoid"));
  metadata.decision.reset();
  metadata.background = 5;
  CHECK(mentions(model_error(ErrorCode::mismatch, tiny_state("fcn"), metadata), "class 5"));
}

TEST_CASE("a softmax network's background is what its metadata says, or the class of that name, or none") {
  Metadata metadata;
  metadata.classes = {"sky", "road", "__background__", "tree", "background"};
  const auto background = [&] { return make_model(tiny_state("fcn"), metadata, {.threads = 1}).background; };
  CHECK(background() == 2);
  metadata.background = 3;
  CHECK(background() == 3);
  metadata.background = no_background;
  CHECK_FALSE(background().has_value());
  CHECK_FALSE(tiny_model("fcn").background.has_value());
}

TEST_CASE("scores of one logit are those of the logits 0 and z: the cross-entropy is the binary one") {
  const Tensor low = noise({1, 9, 5, 1}, 7);
  Tensor two({1, 9, 5, 2});
  for (std::size_t p = 0; p < low.values().size(); ++p) {
    two.values()[2 * p] = 0;
    two.values()[2 * p + 1] = low.values()[p];
  }
  LabelMap truth{31, 70, {}};
  for (int i = 0; i < 31 * 70; ++i)
    truth.labels.push_back(static_cast<std::uint8_t>(i % 3 == 2 ? 255 : i % 3));
  ScoreHistogram found(2), expected(2);
  add_upsampled_scores(found, low.view(), {}, truth);
  add_upsampled_scores(expected, two.view(), {}, truth);
  CHECK(found == expected);

  // At the map's own size nothing is resized: torch.nn.BCEWithLogitsLoss by its definition.
  LabelMap own{5, 9, {}};
  for (int i = 0; i < 45; ++i) own.labels.push_back(static_cast<std::uint8_t>(i % 2));
  ScoreHistogram scores(2);
  add_upsampled_scores(scores, low.view(), {}, own);
  double loss = 0;
  for (std::size_t p = 0; p < 45; ++p) {
    const double probability = sigmoid(low.values()[p]);
    loss -= std::log(own.labels[p] == 1 ? probability : 1 - probability);
  }
  CHECK(scores.pixels == 45);
  CHECK(scores.cross_entropy == doctest::Approx(loss).epsilon(1e-6));
}

TEST_CASE_FIXTURE(evaluate_testing::Pairs, "an evaluation of one logit counts background and foreground") {
  const Model binary = make_model(binary_state(), std::nullopt, {.threads = 1});
  Session session(binary.program, {.threads = 1});
  for (std::size_t i = 0; i < names.size(); ++i) {
    LabelMap truth = read_labels_file(label_path(i));
    for (std::uint8_t& label : truth.labels)
      if (label != 255) label = label % 2;
    evaluate_testing::write_labels(label_path(i), truth);
  }
  for (const std::optional<double> threshold : {std::optional<double>(), std::optional(0.6)}) {
    EvaluateOptions o = options();
    o.at_original = true;
    o.threshold = threshold;
    ConfusionMatrix expected(2);
    for (std::size_t i = 0; i < names.size(); ++i)
      expected.add(read_labels_file(label_path(i)), segment(session, binary, read_image_file(photo_path(i)),
                                                            {.resize = o.resize, .threshold = threshold})
                                                        .labels);
    const Evaluation e = evaluate(binary, open(), o);
    CHECK(e.classes == binary.classes);
    CHECK(e.confusion == expected);
    CHECK(expected.predicted_pixels(1) > 1000);
    CHECK(expected.predicted_pixels(0) > 1000);
    CHECK(e.scores.classes == 2);
    CHECK(e.metrics().cross_entropy.value() > 0.1);
  }
  EvaluateOptions o = options();
  o.threshold = 0.5;
  CHECK(mentions(sentence(ErrorCode::invalid_argument, [&] { evaluate(model, open(), o); }), "has 5"));
  o.threshold = 1.5;
  CHECK(mentions(sentence(ErrorCode::invalid_argument, [&] { evaluate(binary, open(), o); }), "1.5"));
}

TEST_CASE_FIXTURE(evaluate_testing::Pairs, "a state kept with one threshold does not go on with another") {
  const Model binary = make_model(binary_state(), std::nullopt, {.threads = 1});
  for (std::size_t i = 0; i < names.size(); ++i) {
    LabelMap truth = read_labels_file(label_path(i));
    std::ranges::fill(truth.labels, std::uint8_t{1});
    evaluate_testing::write_labels(label_path(i), truth);
  }
  EvaluateOptions o = options();
  o.state = folder / "state";
  evaluate(binary, open(), o);
  o.threshold = 0.3;
  CHECK(mentions(sentence(ErrorCode::mismatch, [&] { evaluate(binary, open(), o); }), "threshold"));
}

}  // namespace atrous::binary_model_test
