// A model measured on a dataset, against the same done one photo after the other.
#include <chrono>
#include <functional>
#include <thread>

#include "runtime/drawing/pictures.h"
#include "runtime/engine/program.h"
#include "runtime/evaluation/upsampled_scores.h"
#include "runtime/image/palette.h"
#include "runtime/image/pillow_resize.h"
#include "tests/support/evaluate_testing.h"

namespace atrous::evaluate_test {

using namespace atrous::evaluate_testing;

namespace {

// What evaluate() does, step by step, with all the logits of an image in memory.
Evaluation one_by_one(const Pairs& pairs, const EvaluateOptions& options) {
  Evaluation e;
  e.confusion = ConfusionMatrix(5);
  e.scores = ScoreHistogram(5);
  Session session(pairs.model.program, options.session);
  const SegmentOptions how{
      .resize = options.resize, .at_input = !options.at_original, .confidence = false, .logits = true};
  for (std::size_t i = 0; i < pairs.names.size(); ++i) {
    const Image photo = read_image_file(pairs.photo_path(i));
    const Segmentation s = segment(session, pairs.model, photo, how);
    LabelMap truth = read_labels_file(pairs.label_path(i));
    if (!options.at_original) truth = resize_nearest(truth, s.labels.width, s.labels.height);
    e.confusion.add(truth, s.labels);
    const Tensor logits =
        full_logits(session, pairs.model, 0, truth.height, truth.width, Upsampling::bilinear);
    e.scores.add(logits.view(), truth);
  }
  return e;
}

// The upsampling of `one_by_one` rounds once where bands round twice: a score may fall into the next bin.
void check_close(const ScoreHistogram& found, const ScoreHistogram& expected) {
  CHECK(found.pixels == expected.pixels);
  CHECK(found.cross_entropy == doctest::Approx(expected.cross_entropy).epsilon(1e-6));
  for (int c = 0; c < 5; ++c)
    CHECK(average_precision(found, c).value() ==
          doctest::Approx(average_precision(expected, c).value()).epsilon(1e-3));
  std::int64_t moved = 0;
  for (std::size_t b = 0; b < found.all.size(); ++b) moved += std::abs(found.all[b] - expected.all[b]);
  CHECK(moved * 1000 <= found.pixels * 5);
}

void pause(int milliseconds) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }

std::string evaluation_error(ErrorCode code, const Model& model, const Dataset& dataset,
                             const EvaluateOptions& options, const EvaluateCallbacks& callbacks = {}) {
  return sentence(code, [&] { evaluate(model, dataset, options, callbacks); });
}

}  // namespace

TEST_CASE_FIXTURE(Pairs, "an evaluation adds up what one photo after the other gives") {
  for (const bool at_original : {false, true}) {
    CAPTURE(at_original);
    EvaluateOptions o = options();
    o.at_original = at_original;
    const Evaluation found = evaluate(model, open(), o), expected = one_by_one(*this, o);
    CHECK(found.confusion == expected.confusion);
    CHECK(found.confusion.pixels() > 5000);
    check_close(found.scores, expected.scores);
    REQUIRE(found.images.size() == names.size());
    std::int64_t pixels = 0;
    for (std::size_t i = 0; i < names.size(); ++i) {
      CHECK(found.images[i].name == names[i]);
      pixels += found.images[i].pixels;
    }
    CHECK(pixels == found.confusion.pixels());
    CHECK(found.images[0].width == (at_original ? 48 : 60));
    CHECK(found.images[0].height == (at_original ? 32 : 40));
    CHECK(found.metrics().mean_iou.has_value());
  }
}

TEST_CASE("scores in bands of rows are those of the whole map") {
  for (const auto& size : {std::pair{1, 1}, {31, 9}, {32, 5}, {33, 7}, {100, 40}, {7, 3}}) {
    const int height = size.first, width = size.second;
    CAPTURE(height);
    const Tensor low = noise({1, 9, 5, 4}, 7);
    LabelMap truth{width, height, {}};
    for (int i = 0; i < height * width; ++i)
      truth.labels.push_back(static_cast<std::uint8_t>(i % 6 == 5 ? 255 : i % 6));  // 4 is left out too
    Tensor whole({1, height, width, 4});
    resize_reference({.mode = ResizeMode::bilinear, .align_corners = false}, low.view(), whole.view());
    ScoreHistogram expected(4), found(4);
    expected.add(whole.view(), truth);
    add_upsampled_scores(found, low.view(), {}, truth);
    CHECK(found.positives == expected.positives);
    CHECK(found.all == expected.all);
    CHECK(found.pixels == expected.pixels);
    CHECK(found.cross_entropy == doctest::Approx(expected.cross_entropy).epsilon(1e-12));
  }
}

TEST_CASE("scores want logits of one image and of the histogram's classes") {
  ScoreHistogram histogram(4);
  const LabelMap truth{2, 2, {0, 1, 2, 3}};
  for (const Shape& shape : {Shape{2, 3, 3, 4}, Shape{1, 3, 3, 5}}) {
    const Tensor low = noise(shape);
    CHECK(mentions(sentence(ErrorCode::invalid_argument,
                            [&] { add_upsampled_scores(histogram, low.view(), {}, truth); }),
                   "4 classes"));
  }
  CHECK(histogram == ScoreHistogram(4));
}

TEST_CASE_FIXTURE(Pairs, "neither threads nor timing change a bit of an evaluation") {
  const Evaluation expected = evaluate(model, open(), options());
  CHECK(expected.scores.cross_entropy > 0);
  for (const int threads : {2, 3}) {
    EvaluateOptions o = options();
    o.session.threads = threads;
    check_same(evaluate(model, open(), o), expected);
  }
  for (const int slow :
       {0, 1, 2}) {  // the decoder, the network and the scoring in turn keep the others waiting
    CAPTURE(slow);
    Dataset dataset = open();
    if (slow == 0)
      dataset.truth = [files = dataset](const DatasetSample& s) {
        pause(15);
        return read_truth(files, s).map;
      };
    EvaluateCallbacks callbacks;
    if (slow == 1)
      callbacks.stop = [] {
        pause(15);
        return false;
      };
    if (slow == 2) callbacks.progress = [](const EvaluateProgress&) { pause(15); };
    check_same(evaluate(model, dataset, options(), callbacks), expected);
  }
}

TEST_CASE_FIXTURE(Pairs, "progress and pictures come in the dataset's order, each once") {
  std::vector<std::string> told, shown;
  EvaluateCallbacks callbacks;
  callbacks.progress = [&](const EvaluateProgress& p) {
    told.push_back(p.name);
    CHECK(p.done == told.size());
    CHECK(p.done_here == p.done);
    CHECK(p.all == names.size());
    CHECK(p.failure == nullptr);
  };
  callbacks.image = [&](const ScoredImage& image) {
    const std::size_t i = shown.size();
    shown.push_back(image.name);
    CHECK(std::ranges::equal(image.photo_file, read_file(photo_path(i), 1 << 20)));
    CHECK(image.photo == read_image_file(photo_path(i)));
    CHECK(image.truth ==
          resize_nearest(read_labels_file(label_path(i)), image.truth.width, image.truth.height));
    CHECK(image.prediction.labels.size() == image.truth.labels.size());
    CHECK(image.ignore == 255);
  };
  const Evaluation e = evaluate(model, open(), options(), callbacks);
  CHECK(told == names);
  CHECK(shown == names);
  check_same(e, evaluate(model, open(), options()));
}

TEST_CASE_FIXTURE(Pairs, "what a run says of itself") {
  EvaluateOptions o = options();
  o.model = "net.pth";
  o.dataset = "pairs: 6 images";
  const Evaluation e = evaluate(model, open(), o);
  CHECK(e.model == "net.pth");
  CHECK(e.dataset == "pairs: 6 images");
  CHECK(e.architecture == model.architecture);
  CHECK(e.classes == model.classes);
  CHECK(e.palette == model.palette);
  CHECK(e.size == "shorter side 40, labels by nearest");
  CHECK(e.seconds > 0);
  for (const ImageScore& s : e.images) CHECK(s.seconds > 0);
}

TEST_CASE_FIXTURE(Pairs, "without scores the rest is the same") {
  EvaluateOptions o = options();
  const Evaluation with = evaluate(model, open(), o);
  o.scores = false;
  const Evaluation without = evaluate(model, open(), o);
  CHECK(without.confusion == with.confusion);
  CHECK(without.scores == ScoreHistogram());
  CHECK(!without.metrics().mean_average_precision);
  CHECK(!without.images[0].cross_entropy);
  CHECK(with.images[0].cross_entropy.value() > 0);
}

TEST_CASE_FIXTURE(Pairs, "a broken image is listed with its file and its fault, and the others count") {
  write_file(photo_path(1), std::as_bytes(std::span("no picture", 10)));
  write_labels(label_path(3), patches(71, 33, 4));
  LabelMap strange = read_labels_file(label_path(4));
  strange.labels[30] = 9;
  write_labels(label_path(4), strange);
  std::vector<std::string> failures;
  EvaluateCallbacks callbacks;
  callbacks.progress = [&](const EvaluateProgress& p) {
    if (p.failure) failures.push_back(*p.failure);
  };
  const Evaluation e = evaluate(model, open(), options(), callbacks);
  REQUIRE(e.failed.size() == 3);
  CHECK(e.failed[0].first == "b");
  CHECK(e.failed[0].second.starts_with(photo_path(1)));
  CHECK(e.failed[1].first == "d");
  CHECK(e.failed[1].second.starts_with(label_path(3)));
  CHECK(mentions(e.failed[1].second, "70x33"));
  CHECK(mentions(e.failed[1].second, "71x33"));
  CHECK(e.failed[2].first == "e");
  CHECK(e.failed[2].second.starts_with(label_path(4)));
  CHECK(mentions(e.failed[2].second, "9"));
  REQUIRE(failures.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) CHECK(failures[i] == e.failed[i].second);

  Dataset whole = open();
  std::erase_if(whole.samples,
                [](const DatasetSample& s) { return s.name == "b" || s.name == "d" || s.name == "e"; });
  Evaluation expected = evaluate(model, whole, options());
  expected.failed = e.failed;
  check_same(e, expected);
}

TEST_CASE_FIXTURE(Pairs, "when strict, the first broken image ends the run with its sentence") {
  write_file(photo_path(2), std::as_bytes(std::span("no picture", 10)));
  write_file(photo_path(4), std::as_bytes(std::span("no picture", 10)));
  EvaluateOptions o = options();
  o.strict = true;
  CHECK(evaluation_error(ErrorCode::unsupported, model, open(), o).starts_with(photo_path(2)));
}

TEST_CASE_FIXTURE(Pairs, "when no image can be evaluated, that is an error that names the first") {
  for (std::size_t i = 0; i < names.size(); ++i)
    write_file(photo_path(i), std::as_bytes(std::span("no picture", 10)));
  const std::string said = evaluation_error(ErrorCode::malformed, model, open(), options());
  CHECK(mentions(said, "none of 6 images"));
  CHECK(mentions(said, photo_path(0)));
}

TEST_CASE_FIXTURE(Pairs, "an input beyond the memory limit is each image's failure") {
  EvaluateOptions o = options();
  o.session.memory_limit = model.program->packed_bytes() + 1'000'000;
  o.resize = ResizeRule{.kind = ResizeRule::Kind::exact, .width = 16384, .height = 16384};
  const std::string said = evaluation_error(ErrorCode::malformed, model, open(), o);
  CHECK(mentions(said, "3221225472"));
  CHECK(mentions(said, std::to_string(o.session.memory_limit)));
  o.resize = ResizeRule{.kind = ResizeRule::Kind::exact, .width = 200, .height = 200};
  CHECK(mentions(evaluation_error(ErrorCode::malformed, model, open(), o), photo_path(0)));
}

TEST_CASE_FIXTURE(Pairs, "what a callback throws ends the run, whichever thread it was on") {
  const auto full = [] { fail(ErrorCode::io, "the disk is full"); };
  EvaluateCallbacks progress, image, stop;
  progress.progress = [&](const EvaluateProgress& p) {
    if (p.done == 2) full();
  };
  image.image = [&](const ScoredImage&) { full(); };
  stop.stop = [&]() -> bool {
    full();
    return false;
  };
  for (const EvaluateCallbacks& callbacks : {progress, image, stop})
    CHECK(evaluation_error(ErrorCode::io, model, open(), options(), callbacks) == "the disk is full");
}

TEST_CASE_FIXTURE(Pairs, "void as a class of its own is counted and never predicted") {
  EvaluateOptions o = options();
  const Evaluation without = evaluate(model, open(), o);
  o.void_class = true;
  const Evaluation with = evaluate(model, open(), o);
  CHECK(with.confusion.classes == 6);
  CHECK(with.classes.back() == "void");
  CHECK(with.palette.back() == Colour{255, 255, 255});
  CHECK(with.palette == evaluation_palette(model.classes, model.palette, true));
  for (int t = 0; t < 5; ++t)
    for (int p = 0; p < 5; ++p) CHECK(with.confusion.at(t, p) == without.confusion.at(t, p));
  CHECK(with.confusion.predicted_pixels(5) == 0);
  std::int64_t pixels = 0;
  for (const ImageScore& s : with.images) pixels += std::int64_t{s.width} * s.height;
  CHECK(with.confusion.pixels() == pixels);
  CHECK(with.confusion.truth_pixels(5) == pixels - without.confusion.pixels());
  CHECK(with.confusion.truth_pixels(5) > 0);
  CHECK(with.scores == without.scores);
  CHECK(with.metrics().classes[5].iou == 0);
  CHECK(!with.metrics().classes[5].average_precision);
}

TEST_CASE_FIXTURE(Pairs, "a model that has a class called void predicts it") {
  Model own = model;
  own.classes[3] = "void";
  EvaluateOptions o = options();
  o.void_class = true;
  const Evaluation e = evaluate(own, open(), o);
  CHECK(e.confusion.classes == 5);
  CHECK(e.palette == own.palette);
  std::int64_t pixels = 0;
  for (const ImageScore& s : e.images) pixels += std::int64_t{s.width} * s.height;
  CHECK(e.confusion.pixels() == pixels);
  CHECK(e.confusion.truth_pixels(3) > evaluate(model, open(), options()).confusion.truth_pixels(3));
}

TEST_CASE_FIXTURE(Pairs, "a centre crop is compared where the photo is; what is beyond it is void") {
  EvaluateOptions o = options();
  o.resize = ResizeRule{.kind = ResizeRule::Kind::none, .width = 0, .height = 0, .center_crop = 60};
  const Evaluation e = evaluate(model, open(), o);
  for (std::size_t i = 0; i < names.size(); ++i) {
    const LabelMap truth = read_labels_file(label_path(i));
    const int left = std::max(0, (truth.width - 60) / 2), top = std::max(0, (truth.height - 60) / 2);
    std::int64_t expected = 0;
    for (int y = top; y < std::min(truth.height, top + 60); ++y)
      for (int x = left; x < std::min(truth.width, left + 60); ++x) expected += truth.row(y)[x] != 255;
    CHECK(e.images[i].width == 60);
    CHECK(e.images[i].height == 60);
    // Half a pixel may be rounded the other way.
    CHECK(std::abs(e.images[i].pixels - expected) <= 60);
    if (truth.width % 2 == 0 && truth.height % 2 == 0) CHECK(e.images[i].pixels == expected);
  }
  o.at_original = true;
  CHECK(mentions(evaluation_error(ErrorCode::invalid_argument, model, open(), o), "60"));
}

TEST_CASE_FIXTURE(Pairs, "truth goes through the class map") {
  EvaluateOptions o = options();
  o.classes = read_class_map("0 = 1\n1 = 0\n2 = ignore\n* = 4\n", "map", {}, model.classes);
  const Evaluation plain = evaluate(model, open(), options()), mapped = evaluate(model, open(), o);
  for (int p = 0; p < 5; ++p) {
    CHECK(mapped.confusion.at(1, p) == plain.confusion.at(0, p));
    CHECK(mapped.confusion.at(0, p) == plain.confusion.at(1, p));
    CHECK(mapped.confusion.at(2, p) == 0);
    CHECK(mapped.confusion.at(4, p) == plain.confusion.at(3, p) + plain.confusion.at(4, p));
  }
}

TEST_CASE_FIXTURE(Pairs, "another label can be void, or none") {
  Dataset dataset = open();
  dataset.ignore = 2;
  Evaluation e;
  CHECK(mentions(evaluation_error(ErrorCode::malformed, model, dataset, options()), "255"));
  dataset.truth = [](const DatasetSample& s) {
    LabelMap map = read_labels_file(s.label);
    for (std::uint8_t& label : map.labels) label = label == 255 ? 1 : label;
    return map;
  };
  e = evaluate(model, dataset, options());
  CHECK(e.confusion.truth_pixels(2) == 0);
  const std::int64_t without_two = e.confusion.pixels();
  dataset.ignore = no_label;
  e = evaluate(model, dataset, options());
  CHECK(e.confusion.truth_pixels(2) > 0);
  CHECK(e.confusion.pixels() == without_two + e.confusion.truth_pixels(2));
}

TEST_CASE_FIXTURE(Pairs, "a dataset without samples is refused") {
  Dataset empty = open();
  empty.samples.clear();
  CHECK(mentions(evaluation_error(ErrorCode::invalid_argument, model, empty, options()), "no images"));
}

namespace {

// Two classes, and masks drawn as 0 and 255.
struct Masks : Pairs {
  const Model two = make_model(seeded_state("deeplabv3_resnet(1,1,1,1)", {.classes = 2, .width = 8}),
                               std::nullopt, {.threads = 1});
  Masks() {
    for (std::size_t i = 0; i < names.size(); ++i)
      change(i, [](int label) { return label == 255 || label > 2 ? 255 : 0; });
  }
  void change(std::size_t i, const std::function<int(int)>& to) const {
    LabelMap map = read_labels_file(label_path(i));
    for (std::uint8_t& label : map.labels) label = static_cast<std::uint8_t>(to(label));
    write_labels(label_path(i), map);
  }
  // With the labels 0 and 1 that are meant.
  Evaluation meant(const EvaluateOptions& o) const {
    Dataset dataset = open();
    dataset.truth = [](const DatasetSample& s) {
      LabelMap map = read_labels_file(s.label);
      for (std::uint8_t& label : map.labels) label = label == 255 ? 1 : label;
      return map;
    };
    return evaluate(two, dataset, o);
  }
};

bool says(const Evaluation& e, const std::string& part) {
  const auto all = notes(e);
  return std::ranges::any_of(all, [&](const std::string& note) { return mentions(note, part); });
}

}  // namespace

TEST_CASE_FIXTURE(Masks, "two classes and masks of 0 and 255 alone: 255 is class 1, and said") {
  for (const bool at_original : {false, true}) {
    EvaluateOptions o = options();
    o.at_original = at_original;
    const Evaluation found = evaluate(two, open(), o), expected = meant(o);
    CHECK(found.binary_masks);
    CHECK(says(found, "255 is taken as class 1, class 1, not as void"));
    CHECK(found.confusion == expected.confusion);
    CHECK(found.confusion.truth_pixels(1) > 1000);
    CHECK(found.void_pixels() == 0);
    CHECK(found.scores.all == expected.scores.all);
    CHECK(found.scores.positives == expected.scores.positives);
    CHECK(found.scores.cross_entropy == doctest::Approx(expected.scores.cross_entropy));
    for (std::size_t i = 0; i < names.size(); ++i) {
      CHECK(found.images[i].iou == expected.images[i].iou);
      CHECK(found.images[i].pixels == expected.images[i].pixels);
    }
    check_same(evaluate(two, open(), o), found);
  }
}

TEST_CASE_FIXTURE(Masks, "one mask with a 1 makes 255 void in all") {
  change(5, [n = 0](int label) mutable { return n++ == 0 ? 1 : label; });
  const Evaluation e = evaluate(two, open(), options());
  CHECK(!e.binary_masks);
  CHECK(!says(e, "255"));
  CHECK(e.void_pixels() > 1000);
  CHECK(e.confusion.truth_pixels(1) < 10);
}

TEST_CASE_FIXTURE(Masks, "255 stays void where that is asked for, where all is void and where nothing is") {
  EvaluateOptions o = options();
  o.binary_masks = false;
  const Evaluation asked = evaluate(two, open(), o);
  CHECK(!asked.binary_masks);
  CHECK(asked.void_pixels() > 1000);
  CHECK(says(asked, "classes without truth: class 1"));

  for (std::size_t i = 0; i < names.size(); ++i) change(i, [](int) { return 255; });
  const Evaluation nothing = evaluate(two, open(), options());
  CHECK(!nothing.binary_masks);
  CHECK(nothing.confusion.pixels() == 0);
  CHECK(says(nothing, str_cat("all ", nothing.all_pixels(), " pixels are void: nothing was compared")));
  CHECK(!nothing.metrics().mean_iou);
  CHECK(!nothing.metrics().pixel_accuracy);

  for (std::size_t i = 0; i < names.size(); ++i) change(i, [](int) { return 0; });
  CHECK(!evaluate(two, open(), options()).binary_masks);
}

TEST_CASE_FIXTURE(Masks, "a crop's border around a small picture is void, not foreground") {
  EvaluateOptions o = options();
  o.resize->center_crop = 60;  // most pictures are 40 high
  const Evaluation found = evaluate(two, open(), o);
  CHECK(found.binary_masks);
  CHECK(found.confusion == meant(o).confusion);
  CHECK(found.void_pixels() > 1000);
}

TEST_CASE_FIXTURE(Masks, "pictures of the truth show the reading that holds for the whole list") {
  for (const bool last_has_one : {false, true}) {
    if (last_has_one) change(5, [n = 0](int label) mutable { return n++ == 0 ? 1 : label; });
    EvaluateOptions o = options();
    o.at_original = true;
    std::vector<std::int64_t> ones, voids;
    EvaluateCallbacks callbacks;
    callbacks.image = [&](const ScoredImage& image) {
      ones.push_back(std::ranges::count(image.truth.labels, 1));
      voids.push_back(std::ranges::count(image.truth.labels, 255));
    };
    evaluate(two, open(), o, callbacks);
    CHECK((ones[0] > 0) == !last_has_one);
    CHECK((voids[0] > 0) == last_has_one);
  }
}

TEST_CASE_FIXTURE(Pairs, "colours are looked up in the model's palette, and counted") {
  const Evaluation by_index = evaluate(model, open(), options());
  CHECK(by_index.forms == LabelForms{});
  for (const std::size_t i : {std::size_t{1}, std::size_t{4}}) {
    const LabelMap map = read_labels_file(label_path(i));
    Palette colours = model.palette;
    colours.resize(256, voc_void_colour);
    write_file(label_path(i), encode_png(colourise(map, colours)));
  }
  const Evaluation found = evaluate(model, open(), options());
  check_same(found, by_index);
  CHECK(found.forms == LabelForms{.colours = 2});
  CHECK(says(found, "2 label maps of colours, looked up in the classes' palette"));
}

TEST_CASE_FIXTURE(Pairs, "void is counted, and classes without truth are named") {
  std::int64_t all = 0, left_out = 0;
  for (std::size_t i = 0; i < names.size(); ++i) {
    LabelMap map = read_labels_file(label_path(i));
    std::ranges::replace(map.labels, std::uint8_t{3}, std::uint8_t{0});
    write_labels(label_path(i), map);
    all += static_cast<std::int64_t>(map.labels.size());
    left_out += std::ranges::count(map.labels, 255);
  }
  EvaluateOptions o = options();
  o.at_original = true;
  const Evaluation e = evaluate(model, open(), o);
  CHECK(e.all_pixels() == all);
  CHECK(e.void_pixels() == left_out);
  CHECK(says(e, "classes without truth: " + model.classes[3]));
}

namespace {

// Label maps that another program made, wrong in every fifth pixel.
struct Predicted : Pairs {
  const std::string predictions = folder / "predictions";
  Predicted() {
    std::filesystem::create_directory(predictions);
    for (std::size_t i = 0; i < names.size(); ++i) write_labels(path(i), predicted(i));
  }
  std::string path(std::size_t i) const { return predictions + "/" + names[i] + ".png"; }
  LabelMap predicted(std::size_t i) const {
    LabelMap map = read_labels_file(label_path(i));
    for (std::size_t p = 0; p < map.labels.size(); ++p) {
      std::uint8_t& label = map.labels[p];
      label = static_cast<std::uint8_t>(label == 255 ? 0 : p % 5 == 0 ? (label + 1) % 5 : label);
    }
    return map;
  }
  Predictions subject() const { return {predictions, model.classes, model.palette}; }
  Evaluation expected() const {
    Evaluation e;
    e.confusion = ConfusionMatrix(5);
    for (std::size_t i = 0; i < names.size(); ++i)
      e.confusion.add(read_labels_file(label_path(i)), predicted(i));
    return e;
  }
};

}  // namespace

TEST_CASE_FIXTURE(Predicted, "label maps that exist are scored without a model") {
  const Evaluation e = evaluate(subject(), open());
  CHECK(e.failed.empty());
  CHECK(e.confusion == expected().confusion);
  CHECK(e.scores.classes == 0);
  CHECK(e.images.size() == names.size());
  CHECK(e.images[1].width == 37);
  CHECK(e.metrics().pixel_accuracy.value() == doctest::Approx(0.8).epsilon(0.01));
}

TEST_CASE_FIXTURE(Predicted, "predictions may have any form and name that labels have") {
  const LabelMap first = predicted(0), second = predicted(1);
  std::filesystem::rename(path(2), predictions + "/c.labels.png");
  write_file(path(0), encode_png(colourise(first, model.palette)));
  std::string head = str_cat("{'descr': '|u1', 'fortran_order': False, 'shape': (", second.height, ", ",
                             second.width, "), }\n");
  head = std::string("\x93NUMPY\1\0", 8) + static_cast<char>(head.size()) + '\0' + head;
  head.append(second.labels.begin(), second.labels.end());
  std::filesystem::remove(path(1));
  write_file(predictions + "/b.npy", std::as_bytes(std::span(head)));
  CHECK(evaluate(subject(), open()).confusion == expected().confusion);
}

TEST_CASE_FIXTURE(Predicted, "a prediction that is missing, of another size or of no class is named") {
  write_labels(path(1), LabelMap{3, 2, std::vector<std::uint8_t>(6)});
  LabelMap strange = predicted(3);
  strange.labels[71] = 9;
  write_labels(path(3), strange);
  const Evaluation e = evaluate(subject(), open());
  REQUIRE(e.failed.size() == 2);
  CHECK(e.failed[0].second == path(1) + ": expected labels of 37x61 as the truth has, found 3x2");
  CHECK(e.failed[1].second.starts_with(path(3) +
                                       ": prediction at pixel (1, 1): expected a class below 5, found 9"));
  std::filesystem::remove(path(4));
  std::filesystem::remove(path(5));
  CHECK(
      sentence(ErrorCode::io, [&] { evaluate(subject(), open()); }) ==
      path(4) +
          ": no such prediction, nor e.labels.png, .npy, .bmp, .pgm, .ppm or .pnm; 2 of 6 images have none");
  write_labels(predictions + "/a.labels.png", predicted(0));
  CHECK(mentions(sentence(ErrorCode::malformed, [&] { evaluate(subject(), open()); }),
                 "either could be meant"));
  CHECK(mentions(sentence(ErrorCode::io,
                          [&] {
                            evaluate(Predictions{folder / "none", model.classes, model.palette}, open());
                          }),
                 "none: no such folder of predictions"));
}

TEST_CASE_FIXTURE(Predicted, "masks of 0 and 255 on both sides are of class 1") {
  for (std::size_t i = 0; i < names.size(); ++i) {
    LabelMap truth = read_labels_file(label_path(i)), map = predicted(i);
    for (LabelMap* m : {&truth, &map})
      for (std::uint8_t& label : m->labels) label = label > 2 ? 255 : 0;
    write_labels(label_path(i), truth);
    write_labels(path(i), map);
  }
  const Evaluation e = evaluate(Predictions{predictions, {"ground", "thing"}, voc_palette(2)}, open());
  CHECK(e.failed.empty());
  CHECK(e.binary_masks);
  CHECK(e.confusion.truth_pixels(1) > 1000);
  CHECK(e.confusion.at(1, 1) > 100);
  CHECK(e.void_pixels() == 0);
}

TEST_CASE_FIXTURE(Predicted, "with one class nothing could be wrong, and no score is 1") {
  for (std::size_t i = 0; i < names.size(); ++i) {
    LabelMap truth = read_labels_file(label_path(i));
    for (std::uint8_t& label : truth.labels) label = label == 255 ? 255 : 0;
    write_labels(label_path(i), truth);
    std::ranges::fill(truth.labels, std::uint8_t{0});
    write_labels(path(i), truth);
  }
  const Evaluation e = evaluate(Predictions{predictions, {"all"}, voc_palette(1)}, open());
  CHECK(e.confusion.at(0, 0) > 1000);
  const Metrics m = e.metrics();
  CHECK(m.pixels == e.confusion.pixels());
  for (const Ratio& r : {m.mean_iou, m.mean_dice, m.pixel_accuracy, m.mean_recall, m.frequency_weighted_iou,
                         m.micro_iou, m.image_mean_iou, m.image_pixel_accuracy, m.classes[0].iou})
    CHECK(!r);
  CHECK(!e.images[0].mean_iou);
  CHECK(e.images[0].iou.empty());
  CHECK(says(e, "with one class nothing could be wrong"));
}

}  // namespace atrous::evaluate_test
