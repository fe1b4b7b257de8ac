// Pictures that are evaluated in tiles: rows are counted as they are made.
#include "runtime/tiles/tiled.h"
#include "tests/support/evaluate_testing.h"

namespace atrous::evaluate_tiles_test {

using namespace atrous::evaluate_testing;

namespace {

constexpr Tiling tiling{24, 9};

EvaluateOptions tiled() {
  EvaluateOptions options;
  options.session.threads = 1;
  options.tiling = tiling;
  return options;
}

}  // namespace

TEST_CASE_FIXTURE(Pairs, "what is counted row by row is what all logits at once give") {
  Session session(model.program, {.threads = 1});
  const int classes = static_cast<int>(model.classes.size());
  ConfusionMatrix confusion(classes);
  ScoreHistogram scores(classes);
  for (std::size_t i = 0; i < names.size(); ++i) {
    const Image picture = read_image_file(photo_path(i));
    const LabelMap truth = read_labels_file(label_path(i));
    confusion.add(truth, segment_tiled(session, model, picture, {.tiling = tiling}).labels);
    scores.add(tiled_logits(session, model, picture, tiling).view(), truth);
  }
  const Dataset dataset = open();
  const Evaluation e = evaluate(model, dataset, tiled());
  CHECK(e.failed.empty());
  CHECK(e.confusion == confusion);
  CHECK(e.scores.positives == scores.positives);
  CHECK(e.scores.all == scores.all);
  CHECK(e.scores.pixels == scores.pixels);
  CHECK(e.scores.cross_entropy == doctest::Approx(scores.cross_entropy).epsilon(1e-9));

  // Somebody looks at the pictures: they are decoded whole, and the counts stay.
  std::size_t shown = 0;
  EvaluateCallbacks callbacks;
  callbacks.image = [&](const ScoredImage& image) {
    CHECK(image.prediction.labels.size() == image.truth.labels.size());
    CHECK(image.photo.width == image.truth.width);
    ++shown;
  };
  const Evaluation seen = evaluate(model, dataset, tiled(), callbacks);
  CHECK(shown == names.size());
  check_same(e, seen);
}

TEST_CASE_FIXTURE(Pairs, "a large PNG that is damaged is left out by its name, once") {
  std::vector<std::byte> file = read_file(photo_path(5), 1 << 20);
  file[file.size() - 40] ^= std::byte{1};
  write_file(photo_path(5), file);
  const Evaluation e = evaluate(model, open(), tiled());
  CHECK(e.images.size() == names.size() - 1);
  REQUIRE(e.failed.size() == 1);
  const std::string& said = e.failed[0].second;
  CHECK(said.find("f.png") != said.npos);
  CHECK(said.find("f.png") == said.rfind("f.png"));
}

}  // namespace atrous::evaluate_tiles_test
