// Every kernel that is no convolution, against its layer's reference.
#include "layers/cuda/cuda_kernels.h"

#include <doctest/doctest.h>

#include <deque>

#include "layers/cpu/maps/upsample_argmax.h"
#include "layers/ops/activation.h"
#include "layers/ops/adaptive_avg_pool2d.h"
#include "layers/ops/arithmetic.h"
#include "layers/ops/batch_norm.h"
#include "layers/ops/crop.h"
#include "layers/ops/encoding.h"
#include "layers/ops/group_norm.h"
#include "layers/ops/l2_norm.h"
#include "layers/ops/max_unpool2d.h"
#include "layers/ops/position_attention.h"
#include "layers/ops/roi_align.h"
#include "layers/ops/softmax.h"
#include "tests/cuda/device_testing.h"
#include "tests/support/golden.h"
#include "tests/support/sanitizers.h"

namespace atrous::cuda {

namespace {

constexpr cudaStream_t stream = nullptr;

// Calls for each setting and each of the shapes, saying which where something fails.
template <class Body>
void for_each_shape(Body&& body) {
  for (const Setting& s : settings)
    for (const Shape& shape : odd_shapes) {
      INFO(text_of(s), ", ", str_cat(shape));
      Random random(s.seed);
      body(s, shape, random);
    }
}

Tensor pixel_of_images(const Shape& shape, Random& random, bool half) {
  return drawn_map({shape.n, 1, 1, shape.c}, random, Draw::floats, half);
}

}  // namespace

TEST_CASE("cuda normalise: every byte becomes what the table says of it, and the fourth channel zero") {
  SKIP_WITHOUT_DEVICE();
  for (const Setting& s : settings) {
    INFO(text_of(s));
    Random random(s.seed);
    std::vector<float> table(768);
    for (float& x : table) x = static_cast<float>(pick(random, -2000, 2000)) / 1000.f;
    const Shape shape{1, 17, 31, 3};
    std::vector<std::uint8_t> rgb(static_cast<std::size_t>(shape.pixels() * 3));
    for (auto& byte : rgb) byte = static_cast<std::uint8_t>(pick(random, 0, 255));
    Tensor expected(shape);
    for (std::size_t i = 0; i < rgb.size(); ++i) expected.values()[i] = table[i % 3 * 256 + rgb[i]];
    const OnDevice device_rgb(rgb), device_table(table);
    const DeviceMap out(shape, s.half, s.wider);
    normalise(stream, device_rgb.as<std::uint8_t>(), device_table.as<float>(), out.map());
    CHECK(difference(out, expected, 0) == "");
  }
}

TEST_CASE("cuda pack and unpack: what goes in comes out, rounded once") {
  SKIP_WITHOUT_DEVICE();
  for_each_shape([](const Setting& s, const Shape& shape, Random& random) {
    for (const std::int64_t gap : {0, 1, 6}) {
      // Of a view whose pitch is wider, up to its last channel.
      const Tensor values = drawn_map(shape, random, Draw::floats, false);
      const std::int64_t pitch = shape.c + gap;
      std::vector<float> spread(static_cast<std::size_t>((shape.pixels() - 1) * pitch + shape.c),
                                not_a_number);
      for (std::int64_t p = 0; p < shape.pixels(); ++p)
        std::copy_n(values.data() + p * shape.c, shape.c, spread.data() + p * pitch);
      const OnDevice from(spread);
      const DeviceMap map(shape, s.half, s.wider);
      pack(stream, from.as<float>(), static_cast<int>(pitch), map.map());
      CHECK(difference(map, values, 0) == "");

      const OnDevice back(values.values().size_bytes());
      unpack(stream, map.map(), back.as<float>());
      CHECK(atrous::difference(tensor_of(shape, back.read<float>()).view(), rounded(values, s.half).view()) ==
            "");
    }
  });
}

TEST_CASE("cuda activation: as the reference, in place, too") {
  SKIP_WITHOUT_DEVICE();
  for_each_shape([](const Setting& s, const Shape& shape, Random& random) {
    for (const ActivationKind kind : activations) {
      INFO(name_of(kind));
      Tensor in = drawn_map(shape, random, Draw::floats, s.half);
      for (float& x : in.values()) x = rounded(8 * x, s.half);  // beyond 6 and -3
      Tensor expected(shape);
      activation_reference({kind}, in.view(), expected.view());
      const double tolerance = kind == ActivationKind::sigmoid ? 1e-6 : 0;
      const DeviceMap map(in, s.half, s.wider), out(shape, s.half);
      activation(stream, kind, map.map(), out.map());
      CHECK(difference(out, expected, tolerance) == "");
      activation(stream, kind, map.map(), map.map());
      CHECK(difference(map, expected, tolerance) == "");
    }
  });
}

TEST_CASE("cuda activation: a NaN stays one") {
  SKIP_WITHOUT_DEVICE();
  for (const ActivationKind kind : activations) {
    INFO(name_of(kind));
    const DeviceMap map(tensor_of({1, 1, 1, 1}, {not_a_number}), false);
    activation(stream, kind, map.map(), map.map());
    CHECK(std::isnan(map.read().values()[0]));
    CHECK(std::isnan(activate(kind, not_a_number)));
  }
}

TEST_CASE("cuda add: element by element") {
  SKIP_WITHOUT_DEVICE();
  for_each_shape([](const Setting& s, const Shape& shape, Random& random) {
    const Tensor a = drawn_map(shape, random, Draw::floats, s.half);
    const Tensor b = drawn_map(shape, random, Draw::floats, s.half);
    Tensor expected(shape);
    add_reference({}, a.view(), b.view(), expected.view());
    const DeviceMap left(a, s.half), right(b, s.half, s.wider), out(shape, s.half, s.wider);
    add(stream, left.map(), right.map(), out.map());
    CHECK(difference(out, expected, 0) == "");
  });
}

TEST_CASE("cuda mul: element by element, or by one pixel per image") {
  SKIP_WITHOUT_DEVICE();
  for_each_shape([](const Setting& s, const Shape& shape, Random& random) {
    for (const bool repeated : {false, true}) {
      INFO("repeated: ", repeated);
      const Tensor a = drawn_map(shape, random, Draw::floats, s.half);
      const Tensor b =
          repeated ? pixel_of_images(shape, random, s.half) : drawn_map(shape, random, Draw::floats, s.half);
      Tensor expected(shape);
      mul_reference({}, a.view(), b.view(), expected.view());
      const DeviceMap left(a, s.half, s.wider), right(b, s.half), out(shape, s.half);
      mul(stream, left.map(), right.map(), out.map());
      CHECK(difference(out, expected, 0) == "");
    }
  });
}

TEST_CASE("cuda batch_norm: scale and shift per channel") {
  SKIP_WITHOUT_DEVICE();
  for_each_shape([](const Setting& s, const Shape& shape, Random& random) {
    const auto scale = drawn(shape.c, random, Draw::floats), shift = drawn(shape.c, random, Draw::floats);
    const Tensor in = drawn_map(shape, random, Draw::floats, s.half);
    const BatchNorm layer{{scale.get(), scale.get() + shape.c}, {shift.get(), shift.get() + shape.c}};
    Tensor expected(shape);
    batch_norm_reference(layer, in.view(), expected.view());
    const auto bytes = static_cast<std::size_t>(shape.c) * sizeof(float);
    const OnDevice scales(scale.get(), bytes), shifts(shift.get(), bytes);
    const DeviceMap from(in, s.half), out(shape, s.half, s.wider);
    batch_norm(stream, scales.as<float>(), shifts.as<float>(), from.map(), out.map());
    CHECK(difference(out, expected, 1e-7) == "");
  });
}

TEST_CASE("cuda epilogue: bias, then residual, then activation, onto its own input, too") {
  SKIP_WITHOUT_DEVICE();
  for_each_shape([](const Setting& s, const Shape& shape, Random& random) {
    for (const ActivationKind kind : {ActivationKind::none, ActivationKind::relu, ActivationKind::hardswish})
      for (const int residual : {0, 1, 2}) {
        INFO(name_of(kind), ", residual ", residual);
        const bool has_bias = residual != 1;
        const auto bias = drawn(shape.c, random, Draw::floats);
        const Tensor in = drawn_map(shape, random, Draw::floats, s.half);
        const Tensor more = residual == 2 ? pixel_of_images(shape, random, s.half)
                                          : drawn_map(shape, random, Draw::floats, s.half);
        Tensor expected(shape);
        for (std::int64_t n = 0; n < shape.n; ++n)
          for (std::int64_t y = 0; y < shape.h; ++y)
            for (std::int64_t x = 0; x < shape.w; ++x)
              for (std::int64_t c = 0; c < shape.c; ++c) {
                float sum = in.view().at(n, y, x, c);
                if (has_bias) sum += bias.get()[c];
                if (residual > 0) sum += residual_pixel(more.view(), n, y, x)[c];
                expected.view().at(n, y, x, c) = activate(kind, sum);
              }
        const OnDevice device_bias(bias.get(), static_cast<std::size_t>(shape.c) * sizeof(float));
        const DeviceMap map(in, s.half, s.wider), added(more, s.half);
        const Map residual_map = added.map();
        epilogue(stream, has_bias ? device_bias.as<float>() : nullptr, residual > 0 ? &residual_map : nullptr,
                 kind, map.map(), map.map());
        CHECK(difference(map, expected, 0) == "");
      }
  });
}

TEST_CASE("cuda softmax: probabilities of each pixel") {
  SKIP_WITHOUT_DEVICE();
  for_each_shape([](const Setting& s, const Shape& shape, Random& random) {
    Tensor in = drawn_map(shape, random, Draw::floats, s.half);
    for (float& x : in.values()) x = rounded(100 * x, s.half);  // exp of them would overflow
    Tensor expected(shape);
    softmax_reference({}, in.view(), expected.view());
    const DeviceMap from(in, s.half), out(shape, s.half, s.wider);
    softmax(stream, from.map(), out.map());
    CHECK(difference(out, expected, 1e-6) == "");
    softmax(stream, from.map(), from.map());
    CHECK(difference(from, expected, 1e-6) == "");
  });
}

TEST_CASE("cuda max_pool2d: padding takes no part, whatever kernel and stride") {
  SKIP_WITHOUT_DEVICE();
  for_each_shape([](const Setting& s, const Shape& shape, Random& random) {
    for (const MaxPool2d& layer : {MaxPool2d{1, 1, 0}, MaxPool2d{2, 2, 1}, MaxPool2d{3, 2, 1},
                                   MaxPool2d{5, 3, 2}, MaxPool2d{13, 1, 6}}) {
      INFO("kernel ", layer.kernel, ", stride ", layer.stride, ", padding ", layer.padding);
      if (std::min(shape.h, shape.w) + 2 * layer.padding < layer.kernel) continue;
      Tensor in = drawn_map(shape, random, Draw::floats, s.half);
      for (float& x : in.values()) x = -std::abs(x) - 1;  // a zero from outside would be the largest
      in = rounded(in, s.half);
      Tensor expected(output_shape(layer, shape));
      max_pool2d_reference(layer, in.view(), expected.view());
      const DeviceMap from(in, s.half), out(expected.shape(), s.half, s.wider);
      max_pool2d(stream, layer, from.map(), out.map());
      CHECK(difference(out, expected, 0) == "");
    }
  });
}

TEST_CASE("cuda adaptive_avg_pool2d: means of cells, overlapping ones and larger maps than the input") {
  SKIP_WITHOUT_DEVICE();
  for_each_shape([](const Setting& s, const Shape& shape, Random& random) {
    for (const auto& [h, w] : {std::pair{1, 1}, std::pair{2, 3}, std::pair{6, 6}, std::pair{17, 1}}) {
      const AdaptiveAvgPool2d layer{h, w};
      const Tensor in = drawn_map(shape, random, Draw::floats, s.half);
      Tensor expected(output_shape(layer, shape));
      adaptive_avg_pool2d_reference(layer, in.view(), expected.view());
      const DeviceMap from(in, s.half), out(expected.shape(), s.half, s.wider);
      adaptive_avg_pool2d(stream, from.map(), out.map());
      CHECK(difference(out, expected, 1e-7) == "");
    }
  });
}

TEST_CASE("cuda adaptive_avg_pool2d: the mean of a large map is as good as its elements") {
  SKIP_WITHOUT_DEVICE();
  Random random(1);
  Tensor in = drawn_map({2, 130, 171, 5}, random, Draw::floats, false);
  // The same everywhere: what additions cut off adds up.
  for (std::size_t i = 0; i < in.values().size(); ++i)
    in.values()[i] = i < 5 ? 4096 + in.values()[i] : in.values()[i % 5];
  Tensor expected({2, 1, 1, 5});
  adaptive_avg_pool2d_reference({}, in.view(), expected.view());
  const DeviceMap from(in, false), out(expected.shape(), false);
  adaptive_avg_pool2d(stream, from.map(), out.map());
  CHECK(difference(out, expected, 0) == "");
}

TEST_CASE("cuda adaptive_avg_pool2d: an image's mean is the same bits in any batch") {
  SKIP_WITHOUT_DEVICE();
  Random random(2);
  const Tensor batch = drawn_map({9, 23, 31, 40}, random, Draw::floats, false);
  Tensor one({1, 23, 31, 40});
  std::copy_n(batch.data() + 4 * one.values().size(), one.values().size(), one.data());
  const DeviceMap from(batch, false), from_one(one, false), out({9, 1, 1, 40}, false),
      out_one({1, 1, 1, 40}, false);
  adaptive_avg_pool2d(stream, from.map(), out.map());
  adaptive_avg_pool2d(stream, from_one.map(), out_one.map());
  const Tensor all = out.read(), alone = out_one.read();
  CHECK(std::memcmp(all.data() + 4 * 40, alone.data(), 40 * sizeof(float)) == 0);
}

TEST_CASE("cuda resize: every mode and alignment, to the bit of the reference") {
  SKIP_WITHOUT_DEVICE();
  for_each_shape([](const Setting& s, const Shape& shape, Random& random) {
    for (const Resize& layer : {Resize{ResizeMode::bilinear, false}, Resize{ResizeMode::bilinear, true},
                                Resize{ResizeMode::nearest, false}})
      for (const auto& size : {std::pair{1, 1}, std::pair{3, 40}, std::pair{23, 7}, std::pair{8, 8}}) {
        const auto [h, w] = size;
        INFO("to ", size.first, " x ", size.second, ", nearest: ", layer.mode == ResizeMode::nearest,
             ", corners: ", layer.align_corners);
        const Tensor in = drawn_map(shape, random, Draw::floats, s.half);
        Tensor expected({shape.n, h, w, shape.c});
        resize_reference(layer, in.view(), expected.view());
        const DeviceMap from(in, s.half), out(expected.shape(), s.half, s.wider);
        resize(stream, layer, from.map(), out.map());
        CHECK(difference(out, expected, 0) == "");
      }
  });
}

TEST_CASE("cuda resize by a factor: to the bit of the reference") {
  SKIP_WITHOUT_DEVICE();
  for_each_shape([](const Setting& s, const Shape& shape, Random& random) {
    for (const Resize& layer :
         {Resize{.factor = 2}, Resize{.factor = 1.5}, Resize{.factor = 1.5, .ratio_of_sizes = true},
          Resize{.mode = ResizeMode::nearest, .factor = 2}}) {
      const Tensor in = drawn_map(shape, random, Draw::floats, s.half);
      const Shape shapes[] = {shape};
      Tensor expected(layer.output_shape(shapes));
      resize_reference(layer, in.view(), expected.view());
      const DeviceMap from(in, s.half), out(expected.shape(), s.half, s.wider);
      resize(stream, layer, from.map(), out.map());
      CHECK(difference(out, expected, 0) == "");
    }
  });
}

TEST_CASE("cuda crop, max, scale and mul by one channel: the references' results") {
  SKIP_WITHOUT_DEVICE();
  for_each_shape([](const Setting& s, const Shape& shape, Random& random) {
    const Tensor a = drawn_map(shape, random, Draw::sixteenths, s.half),
                 b = drawn_map(shape, random, Draw::sixteenths, s.half),
                 gate = drawn_map({shape.n, shape.h, shape.w, 1}, random, Draw::sixteenths, s.half);
    const DeviceMap from(a, s.half), other(b, s.half), factors(gate, s.half);
    const auto check = [&](const Shape& to, auto&& reference, auto&& run) {
      Tensor expected(to);
      reference(expected.view());
      const DeviceMap out(to, s.half, s.wider);
      run(out.map());
      CHECK(difference(out, expected, 0) == "");
    };
    check(
        shape, [&](View to) { max_reference({}, a.view(), b.view(), to); },
        [&](Map to) { maximum(stream, from.map(), other.map(), to); });
    check(
        shape, [&](View to) { scale_reference({0.5f}, a.view(), to); },
        [&](Map to) { scale(stream, 0.5f, from.map(), to); });
    check(
        shape, [&](View to) { mul_reference({}, a.view(), gate.view(), to); },
        [&](Map to) { mul(stream, from.map(), factors.map(), to); });
    const Shape part{shape.n, (shape.h + 1) / 2, (shape.w + 1) / 2, shape.c};
    const Crop cut{shape.h - part.h, shape.w - part.w};
    check(
        part, [&](View to) { crop_reference(cut, a.view(), to); },
        [&](Map to) { crop(stream, static_cast<int>(cut.top), static_cast<int>(cut.left), from.map(), to); });
  });
}

TEST_CASE("cuda unpooling: values return to the first of the largest, what no window covers is zero") {
  SKIP_WITHOUT_DEVICE();
  for_each_shape([](const Setting& s, const Shape& shape, Random& random) {
    for (const std::int64_t kernel : {2, 3}) {
      if (shape.h < kernel || shape.w < kernel) continue;
      // Few different numbers: many windows have several largest.
      Tensor before = drawn_map(shape, random, Draw::whole, s.half);
      for (float& x : before.values()) x = std::max(x, 0.f);
      const Tensor in =
          drawn_map({shape.n, shape.h / kernel, shape.w / kernel, shape.c}, random, Draw::floats, s.half);
      Tensor expected(shape);
      max_unpool2d_reference({kernel}, in.view(), before.view(), expected.view());
      const DeviceMap from(in, s.half), pooled(before, s.half), out(shape, s.half, s.wider);
      max_unpool2d(stream, static_cast<int>(kernel), from.map(), pooled.map(), out.map());
      CHECK(difference(out, expected, 0) == "");
    }
  });
}

TEST_CASE("cuda L2 normalisation: the reference's, a pixel of zeros stays one") {
  SKIP_WITHOUT_DEVICE();
  for_each_shape([](const Setting& s, const Shape& shape, Random& random) {
    const L2Norm layer{.channels = shape.c, .weight = drawn(shape.c, random, Draw::floats)};
    Tensor in = drawn_map(shape, random, Draw::floats, s.half);
    std::fill_n(in.data(), shape.c, 0.f);
    Tensor expected(shape);
    l2_norm_reference(layer, in.view(), expected.view());
    const OnDevice weight(std::vector<float>(layer.weight.get(), layer.weight.get() + shape.c));
    const DeviceMap from(in, s.half), out(shape, s.half, s.wider);
    l2_norm(stream, weight.as<float>(), static_cast<float>(layer.eps), from.map(), out.map());
    CHECK(difference(out, expected, s.half ? 1e-3 : 2e-6) == "");
  });
}

TEST_CASE("cuda encoding: the reference's sums, whatever the numbers of codewords and channels") {
  SKIP_WITHOUT_DEVICE();
  for (const std::int64_t codewords : {1, 3, 32, 45})
    for (const Shape& shape : {Shape{2, 5, 7, 6}, Shape{1, 1, 1, 33}, Shape{1, 9, 4, 300}}) {
      CAPTURE(codewords);
      CAPTURE(shape.c);
      Random random(9);
      const Encoding layer{.codewords = codewords,
                           .channels = shape.c,
                           .codeword = drawn(codewords * shape.c, random, Draw::floats),
                           .smoothing = drawn(codewords, random, Draw::floats),
                           .scale = drawn(codewords, random, Draw::floats),
                           .shift = drawn(codewords, random, Draw::floats)};
      const Tensor in = drawn_map(shape, random, Draw::floats, false);
      Tensor expected({shape.n, 1, 1, shape.c});
      encoding_reference(layer, in.view(), expected.view());
      std::vector<float> transposed;
      for (std::int64_t c = 0; c < shape.c; ++c)
        for (std::int64_t k = 0; k < codewords; ++k)
          transposed.push_back(layer.codeword.get()[k * shape.c + c]);
      const auto all = [&](const Weights& w) { return std::vector<float>(w.get(), w.get() + codewords); };
      const OnDevice codeword(transposed), smoothing(all(layer.smoothing)), scales(all(layer.scale)),
          shifts(all(layer.shift));
      const auto floats = [](std::int64_t n) { return static_cast<std::size_t>(n) * sizeof(float); };
      const OnDevice shares(floats(shape.pixels() * codewords)), sums(floats(shape.n * codewords * shape.c));
      const DeviceMap from(in, false), out(expected.shape(), false);
      encoding(stream,
               {codeword.as<float>(), smoothing.as<float>(), scales.as<float>(), shifts.as<float>(),
                static_cast<int>(codewords)},
               from.map(), shares.as<float>(), sums.as<float>(), out.map());
      CHECK(difference(out, expected, 2e-5) == "");
    }
}

TEST_CASE("cuda group_norm: the reference's mean and variance of every group, of many chunks, too") {
  SKIP_WITHOUT_DEVICE();
  const auto check = [](const Setting& s, const Shape& shape, Random& random, std::int64_t groups) {
    CAPTURE(groups);
    const GroupNorm layer{.channels = shape.c,
                          .groups = groups,
                          .weight = drawn(shape.c, random, Draw::floats),
                          .bias = drawn(shape.c, random, Draw::floats)};
    Tensor in = drawn_map(shape, random, Draw::floats, s.half);
    for (float& x : in.values()) x = rounded(8 + x, s.half);  // a mean that is large beside the variance
    Tensor expected(shape);
    group_norm_reference(layer, in.view(), expected.view());
    const auto all = [&](const Weights& w) { return std::vector<float>(w.get(), w.get() + shape.c); };
    const auto floats = [](std::int64_t n) { return static_cast<std::size_t>(n) * sizeof(float); };
    const std::int64_t chunks = (shape.h * shape.w + 255) / 256;
    const OnDevice weight(all(layer.weight)), bias(all(layer.bias)),
        moments(floats(3 * shape.n * chunks * shape.c)), factors(floats(3 * shape.n * shape.c));
    const DeviceMap from(in, s.half), out(shape, s.half, s.wider);
    group_norm(stream, {weight.as<float>(), bias.as<float>(), static_cast<int>(groups), layer.eps},
               from.map(), moments.as<float>(), factors.as<float>(), out.map());
    CHECK(difference(out, expected, 2e-5) == "");
  };
  for_each_shape([&](const Setting& s, const Shape& shape, Random& random) {
    for (const std::int64_t groups : {std::int64_t{1}, shape.c, shape.c % 3 == 0 ? shape.c / 3 : 1})
      check(s, shape, random, groups);
  });
  for (const Setting& s : settings) {
    INFO(text_of(s));
    Random random(s.seed);
    check(s, {2, 23, 31, 12}, random, 4);  // three chunks, the last in part
  }
}

TEST_CASE("cuda position_attention: the reference's mixture, in one stripe of the pairs' matrix or in many") {
  SKIP_WITHOUT_DEVICE();
  for_each_shape([](const Setting& s, const Shape& shape, Random& random) {
    // All pairs of pixels, by threads that wait for each other: of the larger shapes one depth and one stripe
    // of rows do.
    const std::int64_t count = shape.h * shape.w;
    const bool small = count < 50;
    if (ATROUS_ADDRESS_SANITIZER && !small) return;  // minutes
    for (const std::int64_t depth : small ? std::vector<std::int64_t>{1, 64} : std::vector<std::int64_t>{5}) {
      CAPTURE(depth);
      const Shape pixels{shape.n, shape.h, shape.w, depth};
      const Tensor query = drawn_map(pixels, random, Draw::floats, s.half),
                   key = drawn_map(pixels, random, Draw::floats, s.half);
      Tensor value = drawn_map(shape, random, Draw::floats, s.half), expected(shape);
      // Shares of all pairs are nearly nothing each: with this the mixture is as large as other maps.
      for (float& x : value.values()) x = rounded(x * static_cast<float>(count), s.half);
      position_attention_reference({}, query.view(), key.view(), value.view(), expected.view());
      const DeviceMap q(query, s.half, s.wider), k(key, s.half), v(value, s.half, s.wider);
      for (const std::int64_t rows : small ? std::vector<std::int64_t>{1, 9} : std::vector{count / 2}) {
        CAPTURE(rows);
        const auto floats = [](std::int64_t n) { return static_cast<std::size_t>(n) * sizeof(float); };
        const OnDevice shares(floats(rows * count)), mixed(floats(count * shape.c)), largest(floats(count)),
            sums(floats(count)), total(floats(2));
        const DeviceMap out(shape, s.half, s.wider);
        position_attention(stream, q.map(), k.map(), v.map(),
                           {static_cast<int>(rows), shares.as<float>(), mixed.as<float>(),
                            largest.as<float>(), sums.as<float>(), total.as<float>()},
                           out.map());
        CHECK(difference(out, expected, 1e-5) == "");
      }
    }
  });
}

namespace {

// Of every kind: within the map, on its edges, across them, beyond, turned round, of no size, no numbers.
std::vector<Region> odd_regions(Random& random, float height, float width) {
  std::vector<Region> regions{{0, 0, width, height},
                              {-1, -1, width + 1, height + 1},
                              {-3 * width, -2, -2 * width, 5},
                              {width - 1, height - 1, width + 3, height + 2},
                              {5, 6, 2, 1},
                              {1, 1, 1, 1},
                              {not_a_number, 1, 2, 3},
                              {0, 0, INFINITY, 4},
                              {-INFINITY, 0, INFINITY, 2}};
  for (int i = 0; i < 6; ++i) {
    const auto place = [&](float length) {
      return length * static_cast<float>(pick(random, -200, 1200)) / 1000.f;
    };
    regions.push_back({place(width), place(height), place(width), place(height)});
  }
  return regions;
}

}  // namespace

TEST_CASE(
    "cuda roi_align: as the reference, of several maps, as maps and flattened, zeros for what is no region") {
  SKIP_WITHOUT_DEVICE();
  for (const Setting& s : settings)
    for (const std::int64_t channels : {1, 5, 8, 21, 40, 256})
      for (const std::int64_t size : {1, 2, 7}) {
        INFO(text_of(s), ", ", channels, " channels, ", size, " cells a side");
        Random random(s.seed);
        const std::vector<RoiAlign> layers{{size, 2, 0.25f}, {size, 1, 0.3f}, {size, 3, 1.f}};
        std::vector<Tensor> tensors;
        std::deque<DeviceMap> on_device;
        for (const Shape& shape :
             {Shape{1, 13, 9, channels}, Shape{1, 1, 6, channels}, Shape{1, 4, 1, channels}}) {
          tensors.push_back(drawn_map(shape, random, Draw::floats, s.half));
          on_device.emplace_back(tensors.back(), s.half, s.wider);
        }
        std::vector<RoiMap<Map>> maps;
        for (std::size_t m = 0; m < layers.size(); ++m) maps.push_back({layers[m], on_device[m].map()});
        std::vector<MapRegion> regions;
        for (int m = 0; m < 3; ++m)
          for (const Region& region : odd_regions(random, 50, 36)) regions.push_back({region, 2 - m});
        const auto count = std::ssize(regions), rooms = count + 2;
        Tensor expected = Tensor::zeros({rooms, size, size, channels});
        for (std::int64_t n = 0; n < count; ++n) {
          const auto& [region, map] = regions[static_cast<std::size_t>(n)];
          const auto m = static_cast<std::size_t>(map);
          roi_align_reference(layers[m], tensors[m].view(), region,
                              {expected.view().pixel(n, 0, 0), {1, size, size, channels}, channels});
        }
        const OnDevice list(regions);
        const DeviceMap cells(expected.shape(), s.half, s.wider);
        roi_align(stream, maps, list.as<MapRegion>(), static_cast<int>(count), cells.map());
        CHECK(difference(cells, expected, 1e-5) == "");
        const Tensor flat = tensor_of({1, rooms, 1, size * size * channels},
                                      {expected.values().begin(), expected.values().end()});
        const DeviceMap pixels(flat.shape(), s.half, s.wider);
        roi_align(stream, maps, list.as<MapRegion>(), static_cast<int>(count), pixels.map());
        CHECK(difference(pixels, flat, 1e-5) == "");
      }
}

TEST_CASE("cuda roi_align: torchvision's values") {
  SKIP_WITHOUT_DEVICE();
  int cases = 0;
  for (const Golden& golden : read_goldens("instances")) {
    if (golden.name != "roi_align") continue;
    ++cases;
    const RoiAlign layer{golden.integer("size"), golden.integer("samples"),
                         static_cast<float>(golden.number("scale"))};
    const DeviceMap map(golden["map"].map(), false);
    std::vector<MapRegion> regions;
    const std::vector<float>& corners = golden["regions"].values;
    for (std::size_t i = 0; i + 3 < corners.size(); i += 4)
      regions.push_back({{corners[i], corners[i + 1], corners[i + 2], corners[i + 3]}, 0});
    const Tensor expected =
        tensor_of({std::ssize(regions), layer.size, layer.size, map.map().c}, golden["out"].values);
    const OnDevice list(regions);
    const DeviceMap out(expected.shape(), false);
    const RoiMap<Map> one{layer, map.map()};
    roi_align(stream, {&one, 1}, list.as<MapRegion>(), static_cast<int>(regions.size()), out.map());
    CHECK(difference(out, expected, 1e-5) == "");
  }
  CHECK(cases >= 3);
}

TEST_CASE("cuda roi_align: nine maps are one too many") {
  SKIP_WITHOUT_DEVICE();
  const DeviceMap map(Tensor::zeros({1, 2, 2, 4}), false), out({1, 1, 1, 4}, false);
  const std::vector<RoiMap<Map>> maps(9, {RoiAlign{.size = 1}, map.map()});
  CHECK(contains(error_of(ErrorCode::limit, [&] { roi_align(stream, maps, nullptr, 0, out.map()); }),
                 "9 maps, at least 1 and at most 8"));
}

TEST_CASE("cuda flatten: an image's pixels one after the other") {
  SKIP_WITHOUT_DEVICE();
  for_each_shape([](const Setting& s, const Shape& shape, Random& random) {
    const Tensor in = drawn_map(shape, random, Draw::floats, s.half);
    const Tensor expected =
        tensor_of({1, shape.n, 1, shape.h * shape.w * shape.c}, {in.values().begin(), in.values().end()});
    const DeviceMap from(in, s.half, s.wider), out(expected.shape(), s.half, s.wider);
    flatten(stream, from.map(), out.map());
    CHECK(difference(out, expected, 0) == "");
  });
}

TEST_CASE("cuda copy_channels: a concatenation, beginning anywhere, disturbs no neighbour") {
  SKIP_WITHOUT_DEVICE();
  for (const Setting& s : settings)
    for (const std::vector<std::int64_t>& parts :
         {std::vector<std::int64_t>{8, 16}, {1, 2, 3}, {5, 8, 21}, {24, 3, 1}, {16, 4}, {8, 21}}) {
      INFO(text_of(s), ", first part ", parts[0]);
      Random random(s.seed);
      Shape shape{2, 3, 5, 0};
      for (const std::int64_t c : parts) shape.c += c;
      Tensor expected(shape);
      const DeviceMap out(shape, s.half, s.wider);
      // The last part first: what an earlier one writes beyond its end stays.
      std::int64_t channel = shape.c;
      for (std::size_t part_number = parts.size(); part_number-- > 0;) {
        const std::int64_t c = parts[part_number];
        channel -= c;
        const Tensor part = drawn_map({2, 3, 5, c}, random, Draw::floats, s.half);
        for (std::int64_t p = 0; p < shape.pixels(); ++p)
          std::copy_n(part.data() + p * c, c, expected.data() + p * shape.c + channel);
        const DeviceMap from(part, s.half);
        copy_channels(stream, from.map(), out.map(), static_cast<int>(channel));
      }
      CHECK(difference(out, expected, 0) == "");
    }
}

namespace {

struct Labels {
  std::vector<std::uint8_t> labels;
  std::vector<float> confidence;
};

Labels labels_by_processor(const Tensor& logits, std::int64_t height, std::int64_t width, float threshold = 0,
                           const Growth& growth = {}) {
  const auto count = static_cast<std::size_t>(height * width);
  Labels l{std::vector<std::uint8_t>(count), std::vector<float>(count)};
  Buffer workspace(upsample_argmax_workspace(logits.shape().c, height, width, 1));
  atrous::upsample_argmax(supported_isas().front(), {.logits = logits.view(),
                                                     .height = height,
                                                     .width = width,
                                                     .labels = l.labels,
                                                     .confidence = l.confidence,
                                                     .workspace = {workspace.data(), workspace.size()},
                                                     .threads = 1,
                                                     .threshold = threshold,
                                                     .growth = growth});
  return l;
}

Labels labels_by_device(const Tensor& logits, bool half, int wider, int height, int width,
                        bool with_confidence = true, float threshold = 0, Growth growth = {}) {
  if (growth.out_h == 0) growth = {false, static_cast<double>(height), static_cast<double>(width)};
  const DeviceMap map(logits, half, wider);
  const auto count = static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
  const OnDevice labels(count), confidence(count * sizeof(float));
  cuda::upsample_argmax(stream, map.map(), growth, height, width, threshold, labels.as<std::uint8_t>(),
                        with_confidence ? confidence.as<float>() : nullptr);
  return {labels.read<std::uint8_t>(), confidence.read<float>()};
}

}  // namespace

TEST_CASE("cuda upsample_argmax: aligned corners, and the part of a padded input that was seen") {
  SKIP_WITHOUT_DEVICE();
  for (const bool align : {true, false})
    for (const Growth& growth : {Growth{align, 40, 56}, Growth{align, 43.5, 61.25}}) {
      Random random(3);
      const Tensor logits = drawn_map({1, 6, 8, 5}, random, Draw::floats, false);
      const Labels expected = labels_by_processor(logits, 40, 56, 0, growth),
                   found = labels_by_device(logits, false, 0, 40, 56, true, 0, growth);
      CHECK(found.labels == expected.labels);
    }
}

TEST_CASE("cuda upsample_argmax: the processor's labels and confidences") {
  SKIP_WITHOUT_DEVICE();
  struct Case {
    Shape logits;
    int height, width;
  };
  for (const Setting& s : settings)
    for (const Case& c : {Case{{1, 1, 1, 1}, 1, 1}, Case{{1, 9, 21, 1}, 33, 165}, Case{{1, 6, 5, 1}, 40, 37},
                          Case{{1, 1, 1, 3}, 5, 7}, Case{{1, 4, 5, 2}, 4, 5}, Case{{1, 9, 21, 21}, 33, 165},
                          Case{{1, 1, 40, 5}, 1, 300}, Case{{1, 40, 50, 19}, 13, 17},
                          Case{{1, 3, 140, 256}, 4, 150}, Case{{1, 5, 200, 150}, 5, 200}}) {
      INFO(text_of(s), ", ", str_cat(c.logits), " to ", c.height, " x ", c.width);
      Random random(s.seed);
      Tensor logits = drawn_map(c.logits, random, Draw::floats, s.half);
      for (float& x : logits.values()) x = rounded(10 * x, s.half);
      const float threshold = c.logits.w == 21 ? 1.5f : 0.f;  // of one channel
      const Labels expected = labels_by_processor(logits, c.height, c.width, threshold);
      const Labels found = labels_by_device(logits, s.half, s.wider, c.height, c.width, true, threshold);
      CHECK(found.labels == expected.labels);
      double largest = 0;
      for (std::size_t i = 0; i < found.confidence.size(); ++i)
        largest = std::max(largest, std::abs(static_cast<double>(found.confidence[i]) /
                                                 static_cast<double>(expected.confidence[i]) -
                                             1));
      CHECK(largest < 2e-6);
      const Labels alone = labels_by_device(logits, s.half, s.wider, c.height, c.width, false, threshold);
      CHECK(alone.labels == expected.labels);
    }
}

TEST_CASE("cuda find_not_finite: one value that is infinite or a NaN is found, and a largest one is none") {
  SKIP_WITHOUT_DEVICE();
  const auto found_in = [](const Tensor& values, const Setting& s) {
    const DeviceMap map(values, s.half, s.wider);
    const OnDevice flag(std::vector<std::uint32_t>{0});
    find_not_finite(stream, map.map(), flag.as<std::uint32_t>());
    return flag.read<std::uint32_t>().front();
  };
  for_each_shape([&](const Setting& s, const Shape& shape, Random& random) {
    Tensor values = drawn_map(shape, random, Draw::floats, s.half);
    CHECK(found_in(values, s) == 0);
    const std::size_t places[] = {0, values.values().size() / 2, values.values().size() - 1};
    for (const std::size_t place : places) {
      const float before = values.values()[place];
      for (const float bad : {INFINITY, -INFINITY, not_a_number}) {
        values.values()[place] = bad;
        CHECK(found_in(values, s) == 1);
      }
      values.values()[place] = s.half ? 65504.f : -std::numeric_limits<float>::max();
      CHECK(found_in(values, s) == 0);
      values.values()[place] = before;
    }
  });
}

TEST_CASE("cuda upsample_argmax: of equal logits the lower class wins") {
  SKIP_WITHOUT_DEVICE();
  Tensor logits = Tensor::zeros({1, 2, 3, 4});
  for (std::int64_t p = 0; p < 6; ++p) logits.data()[p * 4 + 1] = logits.data()[p * 4 + 3] = 2;
  const Labels found = labels_by_device(logits, false, 0, 9, 11);
  CHECK(found.labels == std::vector<std::uint8_t>(99, 1));
}

TEST_CASE("cuda upsample_argmax: 257 classes do not fit a label map") {
  SKIP_WITHOUT_DEVICE();
  CHECK(contains(error_of(ErrorCode::limit,
                          [] {
                            labels_by_device(Tensor::zeros({1, 1, 1, 257}), false, 0, 2, 2);
                          }),
                 "257 classes, at most 256"));
}

}  // namespace atrous::cuda
