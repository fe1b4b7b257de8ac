#include "runtime/tiles/tiled.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

#include "runtime/engine/program.h"
#include "tests/support/runtime_testing.h"

namespace atrous::tiled_test {

using namespace atrous::runtime_testing;

namespace {

const ResizeRule none{.kind = ResizeRule::Kind::none, .width = 0};

// A network of each way to grow: to the input's size, from a padded input, with aligned corners, of one
// logit.
std::vector<std::pair<std::string, Model>> models() {
  std::vector<std::pair<std::string, Model>> all;
  for (const Sample& s : samples())
    all.emplace_back(s.name, make_model(s.state, std::nullopt, {.aux = s.aux, .threads = 1}));
  all.emplace_back("one logit", make_model(binary_state(), std::nullopt, {.threads = 1}));
  all.emplace_back("padded", make_model(seeded_state("smp_unet_r18", {.classes = 4, .width = 8}),
                                        std::nullopt, {.threads = 1}));
  return all;
}

Image part(const Image& image, int x0, int y0, int width, int height) {
  Image out = make_image(width, height, 3);
  for (int y = 0; y < height; ++y) std::copy_n(image.row(y0 + y) + 3 * x0, 3 * width, out.row(y));
  return out;
}

// Where tiles begin, by stepping on until the end is reached.
std::vector<int> stepped(int size, int tile, int overlap) {
  if (size <= tile) return {0};
  std::vector<int> all{0};
  while (all.back() + tile < size) all.push_back(std::min(all.back() + tile - overlap, size - tile));
  return all;
}

// Place of an output pixel on a map of `in` whose whole is `out` pixels (torch.nn.functional.interpolate).
double place(double x, double in, double out, bool align_corners) {
  if (align_corners) return out == 1 ? 0 : x * (in - 1) / (out - 1);
  return std::max(0.0, (x + 0.5) * in / out - 0.5);
}

// The definition in tiled.h, pixel by pixel, in doubles; all that it shares is the network.
std::vector<double> by_definition(Session& session, const Model& model, const Image& image, int tile,
                                  int overlap) {
  const int tw = std::min(tile, image.width), th = std::min(tile, image.height);
  const std::int64_t classes = model.logits();
  std::vector<double> sum(static_cast<std::size_t>(image.width * image.height * classes)),
      total(static_cast<std::size_t>(image.width * image.height));
  const auto distance = [&](int i, int n) { return std::min({i + 1, n - i, overlap + 1}); };
  for (const int y0 : stepped(image.height, tile, overlap))
    for (const int x0 : stepped(image.width, tile, overlap)) {
      session.run(part(image, x0, y0, tw, th), model.preparation);
      const ConstView low = session.output("out");
      const Growth g = session.growth(th, tw);
      for (int y = 0; y < th; ++y)
        for (int x = 0; x < tw; ++x) {
          const double py = place(y, static_cast<double>(low.shape.h), g.out_h, g.align_corners),
                       px = place(x, static_cast<double>(low.shape.w), g.out_w, g.align_corners);
          const auto top = static_cast<std::int64_t>(py), left = static_cast<std::int64_t>(px);
          const std::int64_t bottom = std::min(top + 1, low.shape.h - 1),
                             right = std::min(left + 1, low.shape.w - 1);
          const double fy = py - static_cast<double>(top), fx = px - static_cast<double>(left);
          const double weight = distance(y, th) * distance(x, tw);
          const auto pixel = static_cast<std::size_t>((y0 + y) * image.width + x0 + x);
          total[pixel] += weight;
          for (std::int64_t c = 0; c < classes; ++c) {
            const auto at = [&](std::int64_t yy, std::int64_t xx) {
              return static_cast<double>(low.at(0, yy, xx, c));
            };
            const double value = (1 - fy) * ((1 - fx) * at(top, left) + fx * at(top, right)) +
                                 fy * ((1 - fx) * at(bottom, left) + fx * at(bottom, right));
            sum[pixel * static_cast<std::size_t>(classes) + static_cast<std::size_t>(c)] += weight * value;
          }
        }
    }
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] /= total[i / static_cast<std::size_t>(classes)];
  return sum;
}

// Labels and confidences are those of the logits, where these leave no doubt.
void check_labels(const Segmentation& s, const std::vector<double>& logits, std::size_t classes) {
  std::size_t doubtful = 0;
  for (std::size_t p = 0; p < s.labels.labels.size(); ++p) {
    std::vector<double> z(logits.begin() + static_cast<std::ptrdiff_t>(p * classes),
                          logits.begin() + static_cast<std::ptrdiff_t>((p + 1) * classes));
    if (classes == 1) z.insert(z.begin(), 0.0);
    std::vector<double> order = z;
    std::ranges::sort(order, std::greater());
    if (order[0] - order[1] < 1e-4) {
      ++doubtful;
      continue;
    }
    REQUIRE(z[s.labels.labels[p]] == order[0]);
    double exponentials = 0;
    for (const double v : z) exponentials += std::exp(v - order[0]);
    REQUIRE(std::abs(static_cast<double>(s.confidence[p]) - 1 / exponentials) < 1e-5);
  }
  CHECK(doubtful * 100 < s.labels.labels.size());
}

}  // namespace

TEST_CASE("where one tile holds the picture its labels are the untiled ones, to the bit") {
  for (const auto& [label, model] : models()) {
    const std::string& name = label;
    CAPTURE(name);
    Session session(model.program, {.threads = 1});
    for (const auto& [width, height] : {std::pair{48, 32}, {64, 64}, {1, 64}, {33, 17}}) {
      const Image image = photo(width, height);
      const Segmentation whole = segment(session, model, image, {.resize = none});
      const Segmentation tiled = segment_tiled(session, model, image, {.tiling = {64, 16}});
      CHECK(tiled.labels == whole.labels);
      CHECK(same_bits(tiled.confidence, whole.confidence));
      CHECK(tiled.input_width == width);
      CHECK(tiled.input_height == height);
      const Tensor logits = tiled_logits(session, model, image, {64, 16});
      CHECK(same_bits(values(logits.view()),
                      values(full_logits(session, model, 0, height, width, Upsampling::bilinear).view())));
    }
  }
}

TEST_CASE("several tiles are blended as the definition says") {
  struct Case {
    int width, height, tile, overlap;
  };
  const Case cases[] = {{97, 61, 48, 16}, {100, 40, 33, 0}, {40, 100, 64, 5},
                        {65, 65, 64, 63}, {71, 50, 32, 25}, {160, 33, 32, 31}};
  for (const auto& [label, model] : models()) {
    const std::string& name = label;
    Session session(model.program, {.threads = 1});
    for (const Case& c : cases) {
      CAPTURE(name);
      CAPTURE(c.width);
      CAPTURE(c.tile);
      if (c.tile == 32 && c.overlap == 31 && name != "fcn, ResNet") continue;  // 258 tiles
      const Image image = photo(c.width, c.height);
      const std::vector<double> expected = by_definition(session, model, image, c.tile, c.overlap);
      const Tiling tiling{c.tile, c.overlap};
      const std::vector<float> logits = values(tiled_logits(session, model, image, tiling).view());
      const double largest =
          std::accumulate(expected.begin(), expected.end(), 0.0,
                          [](double most, double v) { return std::max(most, std::abs(v)); });
      REQUIRE(logits.size() == expected.size());
      double worst = 0;
      for (std::size_t i = 0; i < logits.size(); ++i)
        worst = std::max(worst, std::abs(static_cast<double>(logits[i]) - expected[i]));
      CHECK(worst <= 1e-5 * largest);
      const Segmentation s = segment_tiled(session, model, image, {.tiling = tiling});
      check_labels(s, expected, static_cast<std::size_t>(model.logits()));
      CHECK(s.input_width == std::min(c.tile, c.width));
      CHECK(s.input_height == std::min(c.tile, c.height));
    }
  }
}

TEST_CASE("a pixel of one tile alone has that tile's labels, and all tiles are of one size") {
  const Model model = tiny_model("deeplabv3");
  Session session(model.program, {.threads = 1});
  const Image image = photo(120, 40);
  const Segmentation tiled = segment_tiled(session, model, image, {.tiling = {64, 8}});
  const Segmentation first = segment(session, model, part(image, 0, 0, 64, 40), {.resize = none});
  std::size_t differ = 0;  // by a rounding of the logits at most
  for (int y = 0; y < 40; ++y)
    for (int x = 0; x < 56; ++x) differ += tiled.labels.row(y)[x] != first.labels.row(y)[x];
  CHECK(differ <= 2);
}

TEST_CASE(
    "rows come from top to bottom with the photo's, and results do not depend on threads or the limit") {
  const Model model = tiny_model("deeplabv3");
  const Image image = photo(150, 203);
  std::vector<Segmentation> all;
  for (const int threads : {1, 2, 3}) {
    Session session(model.program, {.threads = threads});
    all.push_back(segment_tiled(session, model, image, {.tiling = {64, 20}}));
  }
  for (const Segmentation& s : all) {
    CHECK(s.labels == all[0].labels);
    CHECK(same_bits(s.confidence, all[0].confidence));
  }
  Session session(model.program, {.threads = 2});
  Image photos = make_image(150, 203, 3);
  LabelMap labels{150, 203, std::vector<std::uint8_t>(150 * 203)};
  int next = 0;
  const TiledRun run = segment_tiled(session, model, rows_of(image),
                                     {.tiling = {64, 20}, .confidence = false}, [&](const LabelRows& rows) {
                                       CHECK(rows.y == next);
                                       CHECK(rows.confidence.empty());
                                       std::ranges::copy(rows.photo.pixels, photos.row(next));
                                       std::ranges::copy(rows.labels.labels, labels.row(next));
                                       next += rows.labels.height;
                                     });
  CHECK(next == 203);
  CHECK(photos == image);
  CHECK(labels == all[0].labels);
  CHECK(run.tiles == 3 * 5);
  // Two rows of 5 tiles at most: as much for a picture a hundred times as high.
  const std::size_t bytes = tiled_bytes(model, {64, 20}, 150, 203, 2);
  CHECK(tiled_bytes(model, {64, 20}, 150, 20300, 2) == bytes);
  const std::size_t arena = session.arena_bytes() + model.program->packed_bytes();
  Session tight(model.program, {.threads = 1, .memory_limit = arena + bytes + 100'000});
  CHECK(segment_tiled(tight, model, image, {.tiling = {64, 20}}).labels == all[0].labels);
  Session less(model.program, {.threads = 1, .memory_limit = model.program->packed_bytes() + bytes / 2});
  CHECK(sentence(ErrorCode::limit, [&] { segment_tiled(less, model, image, {.tiling = {64, 20}}); }) != "");
}

TEST_CASE("tiles begin every tile less the overlap, and the last ends with the picture") {
  CHECK(tile_starts({48, 16}, 97) == std::vector{0, 32, 49});
  CHECK(tile_starts({48, 16}, 80) == std::vector{0, 32});
  CHECK(tile_starts({48, 16}, 48) == std::vector{0});
  CHECK(tile_starts({48, 16}, 7) == std::vector{0});
  CHECK(tile_starts({48, 47}, 50) == std::vector{0, 1, 2});
  CHECK(in_words(Tiling{520, 64}) == "tiles of 520 pixels that share 64, blended");
}

TEST_CASE("what cannot be tiles is refused in a sentence with both numbers") {
  const auto refused = [](const auto& action) { return sentence(ErrorCode::invalid_argument, action); };
  CHECK(mentions(refused([] { check(Tiling{64, 64}); }), "an overlap of 64 pixels: expected 0 to 63"));
  CHECK(mentions(refused([] { check(Tiling{64, -1}); }), "an overlap of -1"));
  CHECK(mentions(refused([] { check(Tiling{0, 0}); }), "tiles of 0 pixels: expected 1 to 16384"));
  CHECK(mentions(refused([] { check(Tiling{16385, 0}); }), "tiles of 16385"));
  const Model model = tiny_model("fcn"), other = tiny_model("fcn");
  Session session(model.program, {.threads = 1});
  const Image image = photo(40, 20);
  const auto with = [&](const Model& m, const Image& i, const TiledOptions& o) {
    return refused([&] { segment_tiled(session, m, i, o); });
  };
  CHECK(mentions(with(model, image, {.tiling = {8, 8}}), "an overlap of 8"));
  CHECK(mentions(with(other, image, {.tiling = {32, 8}}), "another model's network"));
  CHECK(mentions(with(model, image, {.tiling = {32, 8}, .output = "aux"}), "no output named aux"));
  CHECK(mentions(with(model, image, {.tiling = {32, 8}, .threshold = 0.5}), "threshold"));
  CHECK(mentions(with(model, make_image(40, 20, 1), {.tiling = {32, 8}}), "expected 3 channels, found 1"));
  const RowSource empty{0, 20, [](std::span<std::uint8_t>) {}};
  CHECK(mentions(refused([&] {
                   segment_tiled(session, model, empty, {.tiling = {32, 8}}, [](const auto&) {});
                 }),
                 "rows: 0x20"));
  struct Stop {};
  CHECK_THROWS_AS(segment_tiled(session, model, rows_of(image), {.tiling = {16, 8}},
                                [](const LabelRows&) { throw Stop(); }),
                  Stop);
}

TEST_CASE("logits that are not finite are told, in whichever tile they are") {
  const Model model = make_model(overflowing(tiny_state("fcn")), std::nullopt, {.threads = 1});
  Session session(model.program, {.threads = 1});
  CHECK(mentions(sentence(ErrorCode::not_finite,
                          [&] {
                            segment_tiled(session, model, photo(80, 40), {.tiling = {32, 8}});
                          }),
                 "not finite"));
}

}  // namespace atrous::tiled_test
