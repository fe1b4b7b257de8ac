// The channelwise kernels against their references, for every instruction set of this machine.
#include "layers/cpu/maps/channelwise.h"

#include <doctest/doctest.h>

#include "tests/support/layers_testing.h"

namespace atrous::channelwise_test {

namespace {

constexpr std::int64_t channel_counts[] = {1, 3, 4, 7, 8, 16, 17, 21, 33, 256, 257};

// One kernel against one reference: the input and the output are slices of wider tensors. One number of
// channels is run by several numbers of threads too. Returns what is wrong, or "".
template <class Reference>
std::string compare(const Kernel& kernel, Reference&& reference, const Shape& in_shape,
                    const Shape& out_shape, Draw draw, double tolerance, std::uint64_t seed = 1) {
  Random random(seed);
  Slice in(in_shape, 2, 3), size_of(out_shape), out(out_shape, 1, 2);
  fill(in.view(), random, draw);
  Tensor expected(out_shape), again(out_shape);
  reference(in.view(), expected.view());
  run_hostile(kernel, {in.view(), size_of.view()}, out.view(), 1);
  std::string wrong = difference(out.view(), expected.view(), tolerance);
  if (!out.strangers_untouched()) wrong += " channels beside the slice changed";
  if (in_shape.c != 33) return wrong;  // making threads takes longer than running these
  for (int threads : {2, 3, 7}) {
    run_hostile(kernel, {in.view(), size_of.view()}, again.view(), threads);
    if (!same_bits(out.view(), again.view())) wrong += str_cat(" other bits with ", threads, " threads");
  }
  return wrong;
}

}  // namespace

TEST_CASE("channelwise max pooling equals the reference to the bit") {
  struct Case {
    MaxPool2d layer;
    std::int64_t h, w;
  };
  const Case cases[] = {{{3, 2, 1}, 11, 12}, {{2, 2, 0}, 7, 6}, {{3, 1, 1}, 5, 4},  {{3, 2, 1}, 1, 1},
                        {{3, 2, 1}, 1, 9},   {{3, 2, 1}, 9, 1}, {{2, 3, 1}, 8, 10}, {{5, 1, 2}, 2, 3}};
  for (Isa isa : supported_isas())
    for (const Case& one : cases)
      for (std::int64_t c : channel_counts) {
        const MaxPool2d& layer = one.layer;
        const Shape in{2, one.h, one.w, c};
        CAPTURE(name_of(isa));
        CAPTURE(in);
        CAPTURE(layer.kernel);
        const auto reference = [&](ConstView from, View to) { max_pool2d_reference(layer, from, to); };
        CHECK(compare(*make_max_pool2d_channelwise(layer, isa), reference, in, output_shape(layer, in),
                      Draw::floats, 0) == "");
      }
}

TEST_CASE("channelwise max pooling does not let padding take part") {
  const Tensor in = tensor_of({1, 1, 1, 17}, std::vector<float>(17, -3.f));
  for (Isa isa : supported_isas()) {
    Tensor out({1, 1, 1, 17});
    run_hostile(*make_max_pool2d_channelwise({3, 2, 1}, isa), {in.view()}, out.view(), 1);
    CHECK(difference(out.view(), in.view()) == "");
  }
}

TEST_CASE("channelwise unpooling equals the reference to the bit, among equal values too") {
  struct Case {
    std::int64_t kernel, h, w;
  };
  for (Isa isa : supported_isas())
    for (const auto& [kernel, h, w] : {Case{2, 6, 8}, {2, 7, 5}, {3, 7, 11}, {2, 2, 2}})
      for (std::int64_t c : channel_counts) {
        CAPTURE(name_of(isa));
        CAPTURE(c);
        const MaxUnpool2d layer{kernel};
        Random random(4);
        const Shape shape{2, h, w, c}, pooled{2, h / kernel, w / kernel, c};
        Slice in(pooled, 2, 3), before(shape, 1, 3), out(shape, 2, 1);
        fill(in.view(), random, Draw::floats);
        fill(before.view(), random, Draw::whole);
        for (std::int64_t p = 0; p < shape.pixels(); ++p)
          for (std::int64_t k = 0; k < c; ++k) {
            float& x = before.view().data[p * before.view().pitch + k];
            x = std::max(x, 0.f);  // zeros win many windows, the first of them
          }
        Tensor expected(shape), again(shape);
        max_unpool2d_reference(layer, in.view(), before.view(), expected.view());
        const auto channelwise = make_max_unpool2d_channelwise(layer, isa);
        run_hostile(*channelwise, {in.view(), before.view()}, out.view(), 1);
        CHECK(difference(out.view(), expected.view()) == "");
        CHECK(out.strangers_untouched());
        run_hostile(*channelwise, {in.view(), before.view()}, again.view(), 3);
        CHECK(same_bits(out.view(), again.view()));
      }
}

TEST_CASE("channelwise L2 normalisation equals the reference within rounding, and is zero of zeros") {
  for (Isa isa : supported_isas())
    for (std::int64_t c : {1, 3, 16, 33, 64, 67, 1024, 1031}) {
      CAPTURE(name_of(isa));
      CAPTURE(c);
      Random random(6);
      const L2Norm layer{.channels = c, .weight = drawn(c, random, Draw::floats)};
      const Shape shape{2, 3, 5, c};
      const auto reference = [&](ConstView from, View to) { l2_norm_reference(layer, from, to); };
      const auto kernel = make_l2_norm_channelwise(layer, isa);
      CHECK(compare(*kernel, reference, shape, shape, Draw::floats, 1e-6) == "");
      const Tensor zeros = Tensor::zeros(shape);
      Tensor out(shape);
      run_hostile(*kernel, {zeros.view()}, out.view(), 2);
      CHECK(difference(out.view(), zeros.view()) == "");
    }
}

TEST_CASE("channelwise adaptive average pooling equals the reference: exactly on whole numbers") {
  struct Case {
    AdaptiveAvgPool2d layer;
    std::int64_t h, w;
  };
  const Case cases[] = {{{1, 1}, 9, 11}, {{1, 1}, 1, 1}, {{3, 4}, 7, 5}, {{6, 6}, 10, 11},
                        {{5, 4}, 2, 3},  {{2, 1}, 5, 1}, {{1, 1}, 1, 65}};
  for (Isa isa : supported_isas())
    for (const Case& one : cases)
      for (std::int64_t c : {1, 3, 8, 17, 33, 255, 256, 257, 530}) {
        const AdaptiveAvgPool2d& layer = one.layer;
        const Shape in{2, one.h, one.w, c};
        CAPTURE(name_of(isa));
        CAPTURE(in);
        CAPTURE(layer.out_h);
        const auto reference = [&](ConstView from, View to) {
          adaptive_avg_pool2d_reference(layer, from, to);
        };
        const auto kernel = make_adaptive_avg_pool2d_channelwise(layer, isa);
        CHECK(compare(*kernel, reference, in, output_shape(layer, in), Draw::whole, 0) == "");
        CHECK(compare(*kernel, reference, in, output_shape(layer, in), Draw::floats, 1e-6) == "");
      }
}

TEST_CASE("channelwise adaptive average pooling does not lose small values among many") {
  // 4096 rows of 4096: in fp32 alone the sum would stop growing at 2^24.
  Tensor in({1, 4096, 4097, 1}), out({1, 1, 1, 1});
  std::ranges::fill(in.values(), 1.f);
  for (Isa isa : supported_isas()) {
    run_hostile(*make_adaptive_avg_pool2d_channelwise({}, isa), {in.view()}, out.view(), 2);
    CHECK(out.data()[0] == 1.f);
  }
}

TEST_CASE("channelwise resizing equals the reference: nearest to the bit, bilinear within rounding") {
  struct Case {
    std::int64_t h, w, out_h, out_w;
  };
  const Case cases[] = {{3, 4, 7, 9},  {6, 8, 6, 8}, {9, 8, 4, 3},   {3, 9, 8, 4},
                        {1, 1, 3, 4},  {1, 5, 3, 8}, {5, 1, 8, 3},   {5, 6, 1, 1},
                        {4, 4, 1, 31}, {1, 1, 1, 1}, {5, 5, 40, 33}, {2, 2, 16, 16}};
  for (Isa isa : supported_isas())
    for (const Resize& layer : {Resize{ResizeMode::bilinear, false}, Resize{ResizeMode::bilinear, true},
                                Resize{ResizeMode::nearest, false}})
      for (const auto& [h, w, out_h, out_w] : cases)
        for (std::int64_t c : channel_counts) {
          const Shape in{2, h, w, c}, out{2, out_h, out_w, c};
          CAPTURE(name_of(isa));
          CAPTURE(in);
          CAPTURE(out);
          CAPTURE(layer.align_corners);
          const auto reference = [&](ConstView from, View to) { resize_reference(layer, from, to); };
          CHECK(compare(*make_resize_channelwise(layer, isa), reference, in, out, Draw::floats,
                        layer.mode == ResizeMode::nearest ? 0 : 3e-7) == "");
        }
}

TEST_CASE("channelwise resizing repeats a single pixel exactly: ASPP's pooled branch is a broadcast") {
  Random random(2);
  Tensor in({1, 1, 1, 37}), out({1, 5, 7, 37});
  fill(in.view(), random, Draw::floats);
  for (Isa isa : supported_isas()) {
    CAPTURE(name_of(isa));
    run_hostile(*make_resize_channelwise({}, isa), {in.view(), out.view()}, out.view(), 2);
    for (std::int64_t p = 0; p < 35; ++p)
      CHECK(same_bits({out.data() + p * 37, {1, 1, 1, 37}, 37}, in.view()));
  }
}

}  // namespace atrous::channelwise_test
