// Upsampling and argmax in bands against resize, argmax and softmax, one after the other.
#include "layers/cpu/maps/upsample_argmax.h"

#include <doctest/doctest.h>

#include <cmath>

#include "layers/ops/argmax.h"
#include "layers/ops/resize.h"
#include "layers/ops/softmax.h"
#include "tests/support/layers_testing.h"

namespace atrous::upsample_argmax_test {

namespace {

struct Labels {
  std::vector<std::uint8_t> labels;
  std::vector<float> confidence;
};

// With a workspace of exactly the size asked for, and everything full of NaN before.
Labels run(Isa isa, ConstView logits, std::int64_t height, std::int64_t width, bool confident, int threads,
           float threshold = 0, const Growth& growth = {}) {
  const auto pixels = static_cast<std::size_t>(height * width);
  Labels out{std::vector<std::uint8_t>(pixels, 0xee),
             std::vector<float>(confident ? pixels : 0, not_a_number)};
  Buffer workspace(upsample_argmax_workspace(logits.shape.c, height, width, threads));
  std::memset(workspace.data(), 0xff, workspace.size());
  upsample_argmax(isa, {.logits = logits,
                        .height = height,
                        .width = width,
                        .labels = out.labels,
                        .confidence = out.confidence,
                        .workspace = {workspace.data(), workspace.size()},
                        .threads = threads,
                        .threshold = threshold,
                        .growth = growth});
  return out;
}

Tensor resized(ConstView logits, std::int64_t height, std::int64_t width, bool align_corners = false) {
  Tensor full({1, height, width, logits.shape.c});
  resize_reference(Resize{.align_corners = align_corners}, logits, full.view());
  return full;
}

struct Size {
  std::int64_t h, w, height, width;
};
constexpr Size sizes[] = {{3, 4, 24, 32}, {9, 7, 70, 50},  {5, 5, 33, 65}, {1, 1, 5, 7}, {1, 6, 9, 41},
                          {6, 1, 41, 9},  {8, 8, 8, 8},    {9, 9, 4, 5},   {2, 2, 1, 1}, {5, 3, 64, 31},
                          {4, 4, 32, 1},  {20, 2, 97, 16}, {3, 2, 100, 15}};

// The logit of the label that was given may not fall short of the largest by more than rounding.
std::string wrong_labels(const Tensor& full, const std::vector<std::uint8_t>& labels) {
  const Shape& s = full.shape();
  for (std::int64_t p = 0; p < s.pixels(); ++p) {
    const float* logits = full.data() + p * s.c;
    const std::int64_t label = labels[static_cast<std::size_t>(p)];
    if (label >= s.c) return str_cat("pixel ", p, ": label ", label, " of ", s.c, " classes");
    const float largest = *std::max_element(logits, logits + s.c);
    if (logits[label] < largest - 1e-6f)
      return str_cat("pixel ", p, ": label ", label, " has ", logits[label], ", the largest is ", largest);
  }
  return "";
}

}  // namespace

TEST_CASE("upsample_argmax takes the top left of what the logits grow into, corners aligned or not") {
  Random random(11);
  Tensor logits({1, 6, 7, 5});
  fill(logits.view(), random, Draw::floats);
  for (const bool align : {false, true})
    for (const Isa isa : supported_isas()) {
      CAPTURE(align);
      CAPTURE(name_of(isa));
      const Tensor whole = resized(logits.view(), 48, 56, align);
      Tensor seen({1, 41, 50, 5});
      for (std::int64_t y = 0; y < 41; ++y)
        std::copy_n(whole.view().pixel(0, y, 0), 50 * 5, seen.view().pixel(0, y, 0));
      const Labels labels = run(isa, logits.view(), 41, 50, true, 2, 0, {align, 48, 56});
      CHECK(wrong_labels(seen, labels.labels) == "");
    }
}

TEST_CASE("upsample_argmax labels each pixel with the largest class of the resized logits") {
  for (Isa isa : supported_isas())
    for (const Size& size : sizes)
      for (std::int64_t classes : {2, 21, 33, 256}) {
        const auto& [h, w, height, width] = size;
        if (classes == 256 && height * width > 600) continue;  // enough of them are small
        CAPTURE(name_of(isa));
        CAPTURE(classes);
        CAPTURE(str_cat(size.h, "x", size.w, " to ", size.height, "x", size.width));
        Random random(static_cast<std::uint64_t>(h * 31 + w));
        Slice logits({1, h, w, classes}, 1, 2);
        fill(logits.view(), random, Draw::floats);
        const Tensor full = resized(logits.view(), height, width);
        const Labels got = run(isa, logits.view(), height, width, true, 1);
        CHECK(wrong_labels(full, got.labels) == "");

        // The confidence is the label's softmax.
        Tensor probabilities(full.shape());
        softmax_reference({}, full.view(), probabilities.view());
        Tensor expected({1, height, width, 1});
        for (std::int64_t p = 0; p < height * width; ++p)
          expected.data()[p] = probabilities.data()[p * classes + got.labels[static_cast<std::size_t>(p)]];
        CHECK(difference(tensor_of(expected.shape(), got.confidence).view(), expected.view(), 1e-5) == "");
      }
}

TEST_CASE("upsample_argmax equals argmax exactly where no resizing is needed") {
  Random random(4);
  Tensor logits({1, 37, 19, 21});
  fill(logits.view(), random, Draw::whole);  // with plenty of equal logits: the first class wins
  std::vector<std::uint8_t> expected(37 * 19);
  argmax_reference(logits.view(), expected);
  for (Isa isa : supported_isas()) {
    CAPTURE(name_of(isa));
    CHECK(run(isa, logits.view(), 37, 19, false, 2).labels == expected);
  }
}

TEST_CASE("upsample_argmax gives equal logits to the lower class") {
  Tensor logits({1, 3, 3, 5});
  std::ranges::fill(logits.values(), -2.f);
  for (std::int64_t p = 0; p < 9; ++p) logits.data()[p * 5 + 2] = logits.data()[p * 5 + 4] = 0.1f;
  for (Isa isa : supported_isas()) {
    const Labels got = run(isa, logits.view(), 40, 23, false, 2);
    CHECK(std::ranges::all_of(got.labels, [](std::uint8_t label) { return label == 2; }));
  }
}

TEST_CASE("upsample_argmax is as sure of far-apart logits as softmax is, and overflows nowhere") {
  const Tensor logits = tensor_of({1, 1, 2, 3}, {1000, -1000, 999, -3000, -3000, -3000});
  for (Isa isa : supported_isas()) {
    CAPTURE(name_of(isa));
    const Labels got = run(isa, logits.view(), 1, 2, true, 1);
    CHECK(got.labels == std::vector<std::uint8_t>{0, 0});
    CHECK(got.confidence[0] == doctest::Approx(0.7310586).epsilon(1e-5));
    CHECK(got.confidence[1] == doctest::Approx(1.0 / 3).epsilon(1e-5));
  }
}

TEST_CASE("upsample_argmax of one channel is class 1 where the resized logit is above the threshold") {
  for (Isa isa : supported_isas())
    for (const Size& size : sizes)
      for (const float threshold : {0.f, -0.4f, 0.7f}) {
        const std::int64_t h = size.h, w = size.w, height = size.height, width = size.width;
        CAPTURE(name_of(isa));
        CAPTURE(threshold);
        CAPTURE(str_cat(h, "x", w, " to ", height, "x", width));
        Random random(static_cast<std::uint64_t>(h * 31 + w));
        Slice logits({1, h, w, 1}, 1, 2);
        fill(logits.view(), random, Draw::floats);
        const Tensor full = resized(logits.view(), height, width);
        std::vector<std::uint8_t> expected(full.values().size());
        threshold_reference(full.view(), threshold, expected);
        const Labels got = run(isa, logits.view(), height, width, true, 2, threshold);
        for (std::size_t p = 0; p < expected.size(); ++p) {
          const double z = static_cast<double>(full.values()[p]);
          // Within the rounding of the resize, either label is right.
          if (std::abs(z - static_cast<double>(threshold)) > 1e-6) CHECK(got.labels[p] == expected[p]);
          const double sigmoid = 1 / (1 + std::exp(-z));
          CHECK(static_cast<double>(got.confidence[p]) ==
                doctest::Approx(std::max(sigmoid, 1 - sigmoid)).epsilon(1e-6));
        }
        CHECK(run(isa, logits.view(), height, width, false, 1, threshold).labels == got.labels);
      }
}

TEST_CASE("upsample_argmax of one channel is the softmax of the logits 0 and z, and overflows nowhere") {
  const Tensor one = tensor_of({1, 1, 5, 1}, {-3e38f, -1, 0, 1, 3e38f});
  const Tensor two = tensor_of({1, 1, 5, 2}, {0, -3e38f, 0, -1, 0, 0, 0, 1, 0, 3e38f});
  for (Isa isa : supported_isas()) {
    CAPTURE(name_of(isa));
    const Labels got = run(isa, one.view(), 1, 5, true, 1), same = run(isa, two.view(), 1, 5, true, 1);
    CHECK(got.labels == std::vector<std::uint8_t>{0, 0, 0, 1, 1});
    CHECK(same.labels == got.labels);
    const float expected[] = {1, 0.7310586f, 0.5f, 0.7310586f, 1};
    for (std::size_t p = 0; p < 5; ++p) {
      CHECK(got.confidence[p] == doctest::Approx(expected[p]).epsilon(1e-6));
      CHECK(same.confidence[p] == doctest::Approx(expected[p]).epsilon(1e-6));
    }
  }
}

TEST_CASE("threshold_reference takes one channel") {
  std::vector<std::uint8_t> labels(1);
  CHECK(contains(error_of(ErrorCode::invalid_argument,
                          [&] {
                            threshold_reference(Tensor::zeros({1, 1, 1, 2}).view(), 0, labels);
                          }),
                 "one channel, found 2"));
}

TEST_CASE("upsample_argmax gives the same bits for any number of threads, with confidence and without") {
  Random random(6);
  for (const std::int64_t channels : {1, 21}) {
    Tensor logits({1, 23, 9, channels});
    fill(logits.view(), random, Draw::floats);
    for (Isa isa : supported_isas()) {
      CAPTURE(name_of(isa));
      const Labels one = run(isa, logits.view(), 181, 70, true, 1);
      for (int threads : {2, 3, 7}) {
        CAPTURE(threads);
        const Labels many = run(isa, logits.view(), 181, 70, true, threads);
        CHECK(many.labels == one.labels);
        CHECK(many.confidence == one.confidence);
        CHECK(run(isa, logits.view(), 181, 70, false, threads).labels == one.labels);
      }
    }
  }
}

TEST_CASE("upsample_argmax refuses more classes than a byte can name") {
  const Tensor logits = Tensor::zeros({1, 1, 1, 257});
  CHECK(contains(
      error_of(ErrorCode::limit, [&] { run(supported_isas().front(), logits.view(), 2, 2, false, 1); }),
      "257 classes"));
}

TEST_CASE("upsample_argmax needs no workspace of the full map of logits") {
  // 21 classes at 4000x3000 are a gigabyte; two rows a thread are less than a megabyte.
  CHECK(upsample_argmax_workspace(21, 3000, 4000, 1) < std::size_t{1} << 20);
  CHECK(error_of(ErrorCode::limit, [] {
          upsample_argmax_workspace(256, 1, std::numeric_limits<std::int64_t>::max() / 300, 1);
        }) != "");
}

}  // namespace atrous::upsample_argmax_test
