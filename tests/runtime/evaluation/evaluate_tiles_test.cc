// Pictures that are evaluated in tiles: rows are counted as they are made.
#include <array>
#include <functional>

#include "runtime/image/palette.h"
#include "runtime/tiles/tiled.h"
#include "tests/support/evaluate_testing.h"
#include "tests/support/png_helpers.h"

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

// Somebody looks at all pixels of pictures that are not large: then truths are read whole.
Evaluation read_whole(const Model& model, const Dataset& dataset, const EvaluateOptions& options) {
  EvaluateCallbacks looking;
  looking.image = [](const ScoredImage& image) { CHECK(!image.truth.labels.empty()); };
  return evaluate(model, dataset, options, looking);
}

// Truths read by rows score as those read whole do.
Evaluation check_rows(const Model& model, const Dataset& dataset, const EvaluateOptions& options = tiled()) {
  const Evaluation rows = evaluate(model, dataset, options);
  check_same(rows, read_whole(model, dataset, options));
  CHECK(rows.failed.empty());
  return rows;
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

TEST_CASE_FIXTURE(Pairs, "truths by rows: indices, other void labels, void as a class, a map of classes") {
  Dataset dataset = open();
  const Evaluation plain = check_rows(model, dataset);
  CHECK(plain.confusion.pixels() > 0);
  dataset.ignore = 3;
  dataset.known[255] = true;
  dataset.lookup[255] = 4;
  CHECK(check_rows(model, dataset).confusion != plain.confusion);
  dataset = open();
  EvaluateOptions options = tiled();
  options.void_class = true;
  CHECK(check_rows(model, dataset, options).confusion.classes == plain.confusion.classes + 1);
  options = tiled();
  options.classes = read_class_map("0 = 4\n1 = ignore\n* = 2\n", "map", {}, model.classes);
  CHECK(check_rows(model, dataset, options).confusion != plain.confusion);
}

TEST_CASE_FIXTURE(Pairs, "truths by rows: palettes, colours and samples of 16 bits") {
  const Evaluation expected = evaluate(model, open(), tiled());
  Dataset dataset = open();
  dataset.label_colours = {.palette = voc_palette(5), .voids = {voc_void_colour}, .of_labels = true};
  Palette colours = voc_palette(5), turned(colours.rbegin(), colours.rend());
  colours.resize(256, voc_void_colour);
  turned.push_back(voc_void_colour);
  const auto rewrite = [&](const std::function<std::vector<std::byte>(LabelMap)>& encode) {
    for (std::size_t i = 0; i < names.size(); ++i)
      write_file(label_path(i), encode(read_labels_file(label_path(i))));
    const Evaluation e = check_rows(model, dataset);
    CHECK(e.confusion == expected.confusion);
    return e.forms;
  };
  SUBCASE("palette") {
    CHECK(rewrite([&](const LabelMap& map) { return encode_png(map, colours); }) == LabelForms{});
  }
  SUBCASE("renumbered palette") {
    CHECK(rewrite([&](LabelMap map) {
            for (std::uint8_t& label : map.labels)
              label = static_cast<std::uint8_t>(label == 255 ? 5 : 4 - label);
            return encode_png(map, turned);
          }) == LabelForms{.renumbered = 6});
  }
  SUBCASE("colours") {
    CHECK(rewrite([&](const LabelMap& map) { return encode_png(colourise(map, colours)); }) ==
          LabelForms{.colours = 6});
  }
  SUBCASE("16 bits") {
    CHECK(rewrite([](const LabelMap& map) {
            using namespace testing;
            FileBytes filtered;
            for (int y = 0; y < map.height; ++y) {
              filtered.push_back(std::byte{0});
              for (int x = 0; x < map.width; ++x) {
                const std::size_t label = map.row(y)[x];
                filtered = filtered + be16(label == 255 ? 65535 : label);
              }
            }
            return png(
                png_header(static_cast<std::size_t>(map.width), static_cast<std::size_t>(map.height), 16, 0) +
                chunk("IDAT", zlib(filtered)));
          }) == LabelForms{});
  }
}

TEST_CASE_FIXTURE(Pairs, "truths by rows: ids of Cityscapes become train ids") {
  const std::string root = folder / "cityscapes", city = "/val/aachen/";
  for (const char* kind : {"/leftImg8bit", "/gtFine"})
    std::filesystem::create_directories(root + kind + city);
  ConfusionMatrix confusion(static_cast<int>(model.classes.size()));
  Session session(model.program, {.threads = 1});
  for (std::size_t i = 0; i < names.size(); ++i) {
    LabelMap ids = read_labels_file(label_path(i));
    // road, sidewalk, building, wall, ego vehicle, which has no train id; of 255 nothing changes.
    constexpr std::array<std::uint8_t, 5> of{7, 8, 11, 12, 1};
    LabelMap truth = ids;
    for (std::size_t p = 0; p < ids.labels.size(); ++p) {
      if (ids.labels[p] == 255) continue;
      if (ids.labels[p] == 4) truth.labels[p] = 255;
      ids.labels[p] = of[ids.labels[p]];
    }
    std::filesystem::copy_file(photo_path(i), root + "/leftImg8bit" + city + names[i] + "_leftImg8bit.png");
    write_labels(root + "/gtFine" + city + names[i] + "_gtFine_labelIds.png", ids);
    confusion.add(truth,
                  segment_tiled(session, model, read_image_file(photo_path(i)), {.tiling = tiling}).labels);
  }
  const Dataset dataset = open_dataset("cityscapes", root);
  EvaluateOptions options = tiled();
  options.classes =
      read_class_map("0 = 0\n1 = 1\n2 = 2\n3 = 3\n* = 4\n", "map", dataset.classes, model.classes);
  CHECK(check_rows(model, dataset, options).confusion == confusion);
}

TEST_CASE_FIXTURE(Pairs, "truths by rows: masks of 0 and 255 alone, and others") {
  const Model two = make_model(seeded_state("deeplabv3_resnet(1,1,1,1)", {.classes = 2, .width = 8}),
                               std::nullopt, {.threads = 1});
  const auto change = [&](std::size_t i, auto to) {
    LabelMap map = read_labels_file(label_path(i));
    for (std::uint8_t& label : map.labels) label = static_cast<std::uint8_t>(to(int{label}));
    write_labels(label_path(i), map);
  };
  for (std::size_t i = 0; i < names.size(); ++i) change(i, [](int label) { return label < 3 ? 0 : 255; });
  const Evaluation binary = check_rows(two, open());
  CHECK(binary.void_pixels() == 0);
  change(2, [n = 0](int label) mutable { return n++ == 0 ? 1 : label; });
  const Evaluation other = check_rows(two, open());
  CHECK(other.void_pixels() > 0);
}

TEST_CASE_FIXTURE(Pairs,
                  "truths by rows: what is wrong with one is said as of one read whole, by its name, once") {
  const auto failure_of = [&](const std::vector<std::byte>& label) {
    write_file(label_path(5), label);
    const Evaluation rows = evaluate(model, open(), tiled()), whole = read_whole(model, open(), tiled());
    CHECK(rows.images.size() == names.size() - 1);
    REQUIRE(rows.failed.size() == 1);
    CHECK(rows.failed == whole.failed);
    const std::string said = rows.failed[0].second;
    CHECK(said.starts_with(label_path(5) + ": "));
    CHECK(said.find("f.png") == said.rfind("f.png"));
    CHECK(said.find('\n') == said.npos);
    return said;
  };
  const auto says = [](const std::string& said, const char* part) { return said.find(part) != said.npos; };
  const LabelMap map = read_labels_file(label_path(5));
  const auto grey = [&](auto&& change) {
    LabelMap other = map;
    change(other);
    return encode_png(Image{other.width, other.height, 1, other.labels});
  };
  const std::vector<std::byte> good = grey([](LabelMap&) {});
  CHECK(says(failure_of({good.begin(), good.begin() + 300}), "truncated: "));
  std::vector<std::byte> damaged = good;
  damaged[damaged.size() - 40] ^= std::byte{1};
  CHECK(says(failure_of(damaged), "CRC mismatch in PNG chunk IDAT"));
  CHECK(says(failure_of(grey([](LabelMap& m) {
               m.row(40)[7] = m.row(41)[2] = 77;
               m.row(50)[1] = 9;
             })),
             "the label 77 at pixel (7, 40) is no class of the model's"));
  CHECK(says(failure_of(encode_png(photo(101, 90))), "the colour ("));
  CHECK(says(failure_of(grey([](LabelMap& m) {
               --m.height;
               m.labels.resize(101u * 89u);
             })),
             "expected labels of 101x90 as the photo has, found 101x89"));
}

// Neither file could be read to its end.
TEST_CASE_FIXTURE(Pairs, "sizes are compared by the heads, before a pixel is read") {
  std::vector<std::byte> file = read_file(photo_path(5), 1 << 20), label = read_file(label_path(3), 1 << 20);
  for (auto* bytes : {&file, &label}) (*bytes)[bytes->size() - 40] ^= std::byte{1};
  write_file(photo_path(5), file);
  write_file(label_path(5), label);
  const Evaluation e = evaluate(model, open(), tiled());
  REQUIRE(e.failed.size() == 1);
  CHECK(e.failed[0].second == label_path(5) + ": expected labels of 101x90 as the photo has, found 70x33");
}

TEST_CASE_FIXTURE(Pairs, "of a picture with a long side those who look see a smaller one") {
  constexpr int width = 30, height = 2 * most_shown_side + 3;
  const Image large = photo(width, height);
  const LabelMap truth = patches(width, height, 3);
  write_file(photo_path(0), encode_png(large));
  write_labels(label_path(0), truth);
  Dataset dataset = open();
  dataset.samples.resize(1);
  const Evaluation expected = evaluate(model, dataset, tiled());
  Session session(model.program, {.threads = 1});
  const LabelMap labels = segment_tiled(session, model, large, {.tiling = tiling}).labels;
  std::size_t shown = 0;
  EvaluateCallbacks callbacks;
  callbacks.image = [&](const ScoredImage& image) {
    ++shown;
    CHECK(image.photo_file.empty());
    REQUIRE(image.photo.width == 10);
    REQUIRE(image.photo.height == (height + 2) / 3);
    CHECK(image.truth.width == 10);
    CHECK(image.prediction.height == image.photo.height);
    for (int y = 0; y < image.photo.height - 1; ++y)
      for (int x = 0; x < 10; ++x) {
        CHECK(image.truth.row(y)[x] == truth.row(3 * y + 1)[3 * x + 1]);
        CHECK(image.prediction.row(y)[x] == labels.row(3 * y + 1)[3 * x + 1]);
        int sum = 0;
        for (int v = 0; v < 3; ++v)
          for (int u = 0; u < 3; ++u) sum += large.row(3 * y + v)[3 * (3 * x + u)];
        CHECK(int{image.photo.row(y)[3 * x]} == (sum + 4) / 9);
      }
  };
  check_same(evaluate(model, dataset, tiled(), callbacks), expected);
  CHECK(shown == 1);
}

TEST_CASE_FIXTURE(Pairs, "a run is stopped within a picture in tiles, and goes on to the same numbers") {
  const Evaluation expected = evaluate(model, open(), tiled());
  EvaluateOptions options = tiled();
  int asked = 0;
  evaluate(model, open(), options, {.progress = {}, .image = {}, .stop = [&] { return ++asked < 0; }});
  const int all = asked;
  CHECK(all > 2 * static_cast<int>(names.size()));  // between rows too
  std::size_t within = 0;
  for (int n = 1; n <= all; n += 5) {
    CAPTURE(n);
    options.state = folder / str_cat("state", n);
    asked = 0;
    // A host that says so once only.
    const Evaluation part =
        evaluate(model, open(), options, {.progress = {}, .image = {}, .stop = [&] { return ++asked == n; }});
    CHECK(part.images.size() < names.size());
    CHECK(part.failed.empty());
    CHECK(asked == n);
    within += !part.images.empty();
    check_same(evaluate(model, open(), options), expected);
  }
  CHECK(within > 0);
}

}  // namespace atrous::evaluate_tiles_test
