#include "layers/ops/resize.h"

#include <doctest/doctest.h>

#include "tests/support/golden.h"
#include "tests/support/layers_testing.h"

namespace atrous::resize_test {

namespace {

Resize layer_of(const Golden& g) {
  return {.mode = g.text("mode") == "nearest" ? ResizeMode::nearest : ResizeMode::bilinear,
          .align_corners = g.integer("align_corners") != 0};
}

std::vector<ResizeTap> taps(const Resize& layer, std::int64_t in_size, std::size_t out_size) {
  std::vector<ResizeTap> result(out_size);
  resize_taps(layer, in_size, result);
  return result;
}

}  // namespace

TEST_CASE("resize equals torch.nn.functional.interpolate") {
  for (const Golden& g : read_goldens("resize")) {
    CAPTURE(g.name);
    const Tensor in = g["input"].map(), expected = g["output"].map();
    Tensor out(expected.shape());
    resize_reference(layer_of(g), in.view(), out.view());
    // A place in a map of 65 pixels is known to 65 * 2^-23 in fp32, and where torch's compiler fuses a
    // multiply and an add its places differ from ours by so much.
    const auto longest = static_cast<double>(std::max(in.shape().h, in.shape().w));
    const double tolerance = layer_of(g).mode == ResizeMode::nearest ? 0 : std::max(1e-6, longest * 0x1p-23);
    CHECK(difference(out.view(), expected.view(), tolerance) == "");
  }
}

TEST_CASE("resize by a factor equals torch's scale_factor, recomputed from the sizes or not") {
  for (const Golden& g : read_goldens("resize_by")) {
    CAPTURE(g.name);
    Resize layer = layer_of(g);
    layer.factor = g.number("factor");
    layer.ratio_of_sizes = g.integer("ratio_of_sizes") != 0;
    const Tensor in = g["input"].map(), expected = g["output"].map();
    const Shape shapes[] = {in.shape()};
    REQUIRE(layer.output_shape(shapes) == expected.shape());
    Tensor out(expected.shape());
    resize_reference(layer, in.view(), out.view());
    CHECK(difference(out.view(), expected.view(), layer.mode == ResizeMode::nearest ? 0 : 4e-6) == "");
  }
}

TEST_CASE("a factor of steps gives the sizes of DeepLabV2's prototxt, of one pixel one") {
  const auto side = [](std::int64_t size, double factor) {
    const Shape in[] = {{1, size, size, 2}};
    return Resize{.align_corners = true, .factor = factor, .of_steps = true}.output_shape(in).h;
  };
  CHECK(side(513, 0.5) == 257);
  CHECK(side(513, 0.75) == 385);
  CHECK(side(321, 0.75) == 241);
  CHECK(side(66, 0.5) == 33);  // 32.5 steps
  CHECK(side(1, 0.5) == 1);
}

TEST_CASE("resize by a factor that leaves no pixel, or too many, is refused") {
  const Shape in[] = {{1, 3, 8, 2}};
  const auto sentence = [&](ErrorCode code, double factor) {
    return error_of(code, [&] { Resize{.factor = factor}.output_shape(in); });
  };
  CHECK(contains(sentence(ErrorCode::invalid_argument, 0.25), "3 times 0.25"));
  CHECK(contains(sentence(ErrorCode::limit, 1e12), "3 times"));
}

TEST_CASE("every tap of a resize lies in the map and every weight between 0 and 1") {
  for (const Resize& layer : {Resize{ResizeMode::bilinear, false}, Resize{ResizeMode::bilinear, true},
                              Resize{ResizeMode::nearest, false}})
    for (std::int64_t in = 1; in <= 40; ++in)
      for (std::size_t out : {1u, 2u, 3u, 7u, 39u, 40u, 41u, 257u, 520u}) {
        bool inside = true, weighted = true, ordered = true;
        const auto all = taps(layer, in, out);
        for (std::size_t i = 0; i < all.size(); ++i) {
          const ResizeTap& t = all[i];
          inside = inside && t.low >= 0 && t.high >= t.low && t.high <= t.low + 1 && t.high < in;
          weighted = weighted && t.f >= 0 && t.f <= 1;
          ordered = ordered && (i == 0 || t.low >= all[i - 1].low);
        }
        CAPTURE(in);
        CAPTURE(out);
        CHECK(inside);
        CHECK(weighted);
        CHECK(ordered);
      }
}

TEST_CASE("aligned corners map the first pixel to the first and the last to the last") {
  for (std::int64_t in : {2, 3, 17, 65})
    for (std::size_t out : {2u, 5u, 129u, 520u}) {
      CAPTURE(in);
      CAPTURE(out);
      const auto all = taps({ResizeMode::bilinear, true}, in, out);
      CHECK(all.front().low == 0);
      CHECK(all.front().f == 0);
      CHECK(static_cast<float>(all.back().low) + all.back().f ==
            doctest::Approx(static_cast<double>(in - 1)));
    }
}

TEST_CASE("resizing one pixel repeats it exactly") {
  const Tensor in = tensor_of({1, 1, 1, 2}, {0.1f, -7.3f});
  for (const Resize& layer : {Resize{ResizeMode::bilinear, false}, Resize{ResizeMode::bilinear, true},
                              Resize{ResizeMode::nearest, false}}) {
    Tensor out({1, 3, 4, 2});
    resize_reference(layer, in.view(), out.view());
    for (std::int64_t p = 0; p < 12; ++p) {
      CHECK(out.data()[2 * p] == 0.1f);
      CHECK(out.data()[2 * p + 1] == -7.3f);
    }
  }
}

}  // namespace atrous::resize_test
