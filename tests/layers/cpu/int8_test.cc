// Maps and weights in 8 bits: the definition against the same sums in fp32, and kernels against the
// definition, to the bit, on every instruction set, with the processor's instruction and without.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "layers/cpu/conv/conv2d_implicit_gemm_int8.h"
#include "layers/cpu/cpu_backend.h"
#include "layers/cpu/maps/convert.h"
#include "tests/support/conv2d_testing.h"
#include "tests/support/typed_map.h"

namespace atrous::int8_test {

namespace {

struct Case {
  const char* name;
  Shape in;
  std::int64_t out, kernel, stride, dilation, groups = 1;
};

constexpr Case cases[] = {
    {"one pixel", {1, 1, 1, 4}, 1, 1, 1, 1},
    {"1x1", {1, 9, 9, 64}, 16, 1, 1, 1},
    {"1x1, more than a stretch", {1, 5, 7, 2052}, 70, 1, 1, 1},
    {"1x1, more than 512 outputs", {2, 4, 5, 36}, 547, 1, 1, 1},
    {"1x1, stride 2", {1, 9, 10, 48}, 40, 1, 2, 1},
    {"3x3", {1, 9, 11, 32}, 31, 3, 1, 1},
    {"3x3, stride 2, batch", {3, 10, 7, 32}, 24, 3, 2, 1},
    {"3x3, few channels", {1, 16, 13, 4}, 9, 3, 1, 1},
    {"3x3, wide taps", {1, 4, 5, 600}, 17, 3, 1, 1},
    {"3x3, dilation 4", {1, 11, 11, 24}, 24, 3, 1, 4},
    {"rate 12", {1, 17, 16, 36}, 21, 3, 1, 12},
    {"rate 36, only the middle tap", {1, 13, 13, 16}, 16, 3, 1, 36},
    {"two groups", {1, 7, 7, 24}, 36, 3, 1, 1, 2},
    {"193 pixels", {1, 1, 193, 8}, 65, 1, 1, 1},
    {"depthwise", {2, 9, 8, 19}, 19, 3, 1, 1, 19},
    {"depthwise, 5x5, stride 2", {1, 9, 8, 64}, 64, 5, 2, 1, 64},
    {"depthwise, dilation 2", {1, 6, 7, 5}, 5, 3, 1, 2, 5},
};

struct Drawn {
  Conv2d layer;
  TypedMap in, residual;
};

const MapType in_types[] = {{DType::u8, {0.03f, 0}}, {DType::u8, {0.011f, 77}}};
const MapType floats{DType::f32};

TypedMap drawn_map(const Shape& shape, const MapType& type, Random& random) {
  TypedMap map(shape, type);
  if (type.dtype == DType::f32) {
    fill(map.view().as<float>(), random, Draw::floats);
    return map;
  }
  const auto view = map.view().as<std::uint8_t>();
  for (std::int64_t i = 0; i < shape.pixels() * shape.c; ++i)
    view.data[i] = static_cast<std::uint8_t>(pick(random, 0, 255));
  return map;
}

Drawn draw_case(const Case& c, const MapType& in, const MapType& residual, ActivationKind activation) {
  Random random(7);
  Filter w{c.out, c.in.c / c.groups, c.kernel, c.kernel, nullptr};
  const std::int64_t count = w.elements();
  std::shared_ptr<std::int8_t[]> weights(new std::int8_t[static_cast<std::size_t>(count)]);
  for (std::int64_t i = 0; i < count; ++i) weights[i] = static_cast<std::int8_t>(pick(random, -127, 127));
  std::shared_ptr<float[]> scale(new float[static_cast<std::size_t>(c.out)]);
  for (std::int64_t o = 0; o < c.out; ++o)
    scale[o] = static_cast<float>(pick(random, 1, 1000)) * 1e-4f / static_cast<float>(w.d1 * c.kernel);
  w.quantised = {weights, weights.get()};
  w.scale = {scale, scale.get()};
  const Conv2d layer{.weight = w,
                     .bias = drawn(c.out, random, Draw::floats),
                     .stride = c.stride,
                     .padding = c.dilation * (c.kernel - 1) / 2,
                     .dilation = c.dilation,
                     .groups = c.groups,
                     .activation = activation};
  return {layer, drawn_map(c.in, in, random), drawn_map(output_shape(layer, c.in), residual, random)};
}

// The definition's bytes; of a residual where the case has one.
TypedMap expected(Drawn& d, bool residual, const MapType& out) {
  TypedMap map(output_shape(d.layer, d.in.view().shape), out);
  const ConstAnyView added = d.residual.view();
  quantised_conv2d_reference(d.layer, d.in.view(), residual ? &added : nullptr, map.view());
  return map;
}

bool same_bytes(const TypedMap& a, const TypedMap& b) { return std::ranges::equal(a.bytes(), b.bytes()); }

}  // namespace

TEST_CASE("a range is cut into 255 steps, and zero is a number exactly") {
  CHECK(quantisation_of({0, 2.55f}).zero_point == 0);
  CHECK(quantisation_of({0, 2.55f}).scale == doctest::Approx(0.01));
  CHECK(quantisation_of({-1, 1}).zero_point == 128);             // 127.5, to even
  CHECK(quantisation_of({0.5f, 1}) == quantisation_of({0, 1}));  // zero is added to the range
  CHECK(quantisation_of({-2, -1}) == quantisation_of({-2, 0}));
  CHECK(quantisation_of({-2, -1}).zero_point == 255);
  CHECK(quantisation_of({0, 0}) == Quantisation{});
  CHECK(quantisation_of({0, 1e-44f}) == Quantisation{});  // whose step has no inverse
  const Quantisation q = quantisation_of({-3, 5});
  CHECK(dequantise(quantise(0, q), q) == 0);
  CHECK(error_of(ErrorCode::invalid_argument, [] { quantisation_of({2, 1}); }) == "a range from 2 to 1");
  CHECK(error_of(ErrorCode::invalid_argument, [] {
          quantisation_of({0, std::numeric_limits<float>::infinity()});
        }) == "a range from 0 to inf");
}

TEST_CASE("numbers become the nearest step, of two as near the even one, and stay within 8 bits") {
  const Quantisation by{0.5f, 10};
  const std::pair<float, int> numbers[] = {{0, 10},
                                           {0.25f, 10},
                                           {0.75f, 12},
                                           {-0.25f, 10},
                                           {-5, 0},
                                           {-100, 0},
                                           {122.5f, 255},
                                           {1e30f, 255},
                                           {-1e30f, 0},
                                           {std::numeric_limits<float>::infinity(), 255},
                                           {std::numeric_limits<float>::quiet_NaN(), 0}};
  for (const auto& number : numbers) {
    CAPTURE(number.first);
    CHECK(int{quantise(number.first, by)} == number.second);
  }
}

TEST_CASE("vectors are quantised and widened as single numbers are") {
  std::vector<float> values{std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()};
  Random random(3);
  for (int i = 0; i < 1000; ++i) values.push_back(static_cast<float>(pick(random, -600, 600)) / 64.f);
  for (const Quantisation& by : {Quantisation{0.03125f, 128}, Quantisation{0.021f, 3}})
    for (Isa isa : supported_isas()) {
      CAPTURE(name_of(isa));
      const Conversion conversion = conversions(isa);
      const auto count = static_cast<std::int64_t>(values.size());
      std::vector<std::uint8_t> bytes(values.size());
      std::vector<float> back(values.size());
      conversion.quantise(values.data(), by, bytes.data(), count);
      conversion.dequantise(bytes.data(), by, back.data(), count);
      for (std::size_t i = 0; i < values.size(); ++i) {
        CHECK(bytes[i] == quantise(values[i], by));
        CHECK(back[i] == dequantise(bytes[i], by));
      }
    }
}

TEST_CASE("a convolution in 8 bits is the one of the numbers that the bytes stand for, rounded once") {
  for (const Case& c : cases)
    for (const MapType& in : in_types)
      for (const ActivationKind activation :
           {ActivationKind::none, ActivationKind::relu, ActivationKind::relu6, ActivationKind::hardswish})
        for (const bool has_residual : {false, true}) {
          CAPTURE(c.name);
          CAPTURE(name_of(activation));
          CAPTURE(has_residual);
          const bool positive = activation == ActivationKind::relu || activation == ActivationKind::relu6;
          const MapType out{DType::u8, positive ? Quantisation{0.03f, 0} : Quantisation{0.02f, 120}};
          Drawn d = draw_case(c, in, {DType::u8, {0.007f, 100}}, activation);
          const TypedMap found = expected(d, has_residual, out);
          Conv2d layer = d.layer;
          layer.weight.data = dequantised(layer.weight);
          layer.weight.quantised = nullptr;
          const Tensor from = d.in.floats(), added = d.residual.floats();
          const ConstView residual = added.view();
          Tensor exact(found.floats().shape());
          conv2d_reference(layer, from.view(), has_residual ? &residual : nullptr, exact.view());
          const Tensor values = found.floats();
          const double step = static_cast<double>(out.quantisation.scale);
          const double lowest = step * (0 - out.quantisation.zero_point),
                       highest = step * (255 - out.quantisation.zero_point);
          double largest = 0;
          for (std::size_t i = 0; i < values.values().size(); ++i) {
            const double limited = std::clamp(static_cast<double>(exact.values()[i]), lowest, highest);
            largest = std::max(largest, std::abs(static_cast<double>(values.values()[i]) - limited));
          }
          CHECK(largest <= step / 2 + 1e-4);
        }
}

TEST_CASE("kernels in 8 bits give the definition's bytes") {
  for (const Case& c : cases)
    for (const MapType& in : in_types)
      for (const MapType& out : {MapType{DType::u8, {0.03f, 0}}, MapType{DType::u8, {0.02f, 120}}, floats})
        for (const ActivationKind activation :
             {ActivationKind::none, ActivationKind::relu, ActivationKind::relu6, ActivationKind::hardswish,
              ActivationKind::hardsigmoid})
          for (const MapType* residual : {static_cast<const MapType*>(nullptr), &in_types[1], &floats}) {
            const bool depthwise = c.groups == c.in.c;
            if (depthwise && residual) continue;
            CAPTURE(c.name);
            CAPTURE(name_of(activation));
            CAPTURE(name_of(out.dtype));
            CAPTURE(residual ? name_of(residual->dtype) : "no residual");
            Drawn d = draw_case(c, in, residual ? *residual : floats, activation);
            const TypedMap exact = expected(d, residual != nullptr, out);
            std::vector<MapType> inputs{in};
            std::vector<ConstAnyView> maps{d.in.view()};
            if (residual) {
              inputs.push_back(*residual);
              maps.push_back(d.residual.view());
            }
            for (Isa isa : supported_isas()) {
              CAPTURE(name_of(isa));
              std::vector<std::unique_ptr<Kernel>> kernels =
                  make_cpu_kernels({"node", d.layer, {}, -1}, {.isa = isa}, {inputs, out});
              CHECK(kernels.size() == 1);
              CHECK(kernels.front()->name() == (depthwise ? "depthwise" : "implicit_gemm"));
              if (!depthwise)
                kernels.push_back(make_conv2d_implicit_gemm_int8(
                    std::make_shared<PackedConv2d>(d.layer, isa, 1, DType::i8), inputs, out, false));
              for (const auto& kernel : kernels)
                for (const int threads : {1, 3}) {
                  TypedMap found(exact.floats().shape(), out);
                  run_on_top(*kernel, maps, found.view(), threads);
                  CHECK(same_bytes(found, exact));
                }
            }
          }
}

TEST_CASE("a map in fp32 is quantised on the way, and its convolution gives the definition's bytes") {
  constexpr Case samples[] = {
      {"one pixel", {1, 1, 1, 4}, 5, 3, 2, 1},
      {"3x3, stride 2", {2, 9, 30, 12}, 16, 3, 2, 1},
      {"1x1", {1, 7, 9, 36}, 21, 1, 1, 1},
      {"3x3, two groups", {2, 5, 6, 24}, 18, 3, 1, 1, 2},
      {"3x3, dilation 6", {1, 9, 8, 60}, 40, 3, 1, 6},
  };
  const MapType read_as{DType::f32, {0.011f, 77}}, as_bytes{DType::u8, read_as.quantisation};
  for (const Case& c : samples)
    for (const MapType& out : {MapType{DType::u8, {0.02f, 120}}, MapType{DType::u8, {0.03f, 0}}, floats})
      for (const ActivationKind activation :
           {ActivationKind::none, ActivationKind::relu6, ActivationKind::hardswish})
        for (const bool has_residual : {false, true}) {
          CAPTURE(c.name);
          CAPTURE(name_of(activation));
          CAPTURE(name_of(out.dtype));
          CAPTURE(has_residual);
          Drawn d = draw_case(c, as_bytes, in_types[0], activation);
          // The definition, of the same bytes.
          const TypedMap exact = expected(d, has_residual, out);
          const Tensor values = d.in.floats();
          ConstAnyView in = any_view(values.view());
          in.quantisation = read_as.quantisation;
          const ConstAnyView residual = d.residual.view();
          TypedMap defined(exact.floats().shape(), out);
          quantised_conv2d_reference(d.layer, in, has_residual ? &residual : nullptr, defined.view());
          CHECK(same_bytes(defined, exact));
          // Pixels further apart.
          const std::int64_t apart = c.in.c + 2;
          std::vector<float> spread(static_cast<std::size_t>(c.in.pixels() * apart), 1e9f);
          for (std::int64_t p = 0; p < c.in.pixels(); ++p)
            std::copy_n(values.data() + p * c.in.c, c.in.c, spread.data() + p * apart);
          const ConstAnyView wide = any_view(ConstView{spread.data(), c.in, apart});
          MapTypes types{{read_as}, out};
          if (has_residual) types.inputs.push_back(in_types[0]);
          for (Isa isa : supported_isas()) {
            CAPTURE(name_of(isa));
            const auto kernels = make_cpu_kernels({"node", d.layer, {}, -1}, {.isa = isa}, types);
            REQUIRE(kernels.size() == 1);
            CHECK(kernels.front()->name() == "implicit_gemm");
            for (const ConstAnyView& from : {in, wide})
              for (const int threads : {1, 3}) {
                std::vector<ConstAnyView> maps{from};
                if (has_residual) maps.push_back(residual);
                TypedMap found(exact.floats().shape(), out);
                run_on_top(*kernels.front(), maps, found.view(), threads);
                CHECK(same_bytes(found, exact));
              }
          }
        }
}

TEST_CASE("in 8 bits a residual of one pixel is added to all, and the output may lie over its residual") {
  Drawn d = draw_case(cases[5], in_types[1], in_types[0], ActivationKind::relu);
  const MapType out{DType::u8, {0.03f, 9}};
  const Shape shape = d.residual.view().shape;
  Random random(5);
  TypedMap pixel = drawn_map({1, 1, 1, shape.c}, in_types[0], random);
  const ConstAnyView one = pixel.view();
  TypedMap exact(shape, out);
  quantised_conv2d_reference(d.layer, d.in.view(), &one, exact.view());
  const TypedMap over = expected(d, true, out);
  for (Isa isa : supported_isas()) {
    CAPTURE(name_of(isa));
    const auto kernels =
        make_cpu_kernels({"node", d.layer, {}, -1}, {.isa = isa}, {{in_types[1], in_types[0]}, out});
    TypedMap found(shape, out);
    run_on_top(*kernels.front(), {d.in.view(), one}, found.view(), 2);
    CHECK(same_bytes(found, exact));
    TypedMap both(shape, in_types[0]);
    std::ranges::copy(d.residual.bytes(), both.view().data);
    AnyView written = both.view();
    written.quantisation = out.quantisation;
    run_on_top(*kernels.front(), {d.in.view(), both.view()}, written, 2);
    CHECK(std::ranges::equal(both.bytes(), over.bytes()));
  }
}

TEST_CASE("sums that might not fit 32 bits are left to fp32") {
  Filter w{1, 65793, 1, 1, nullptr};
  CHECK(sums_fit({.weight = w, .bias = nullptr}));
  w.d1 = 65794;
  CHECK_FALSE(sums_fit({.weight = w, .bias = nullptr}));
}

TEST_CASE("layers that move values take 8 bits as they are, others by way of fp32") {
  Random random(11);
  const Shape shape{2, 9, 8, 19};
  const MapType type = in_types[1], other{DType::u8, {0.05f, 100}};
  struct Sample {
    Layer layer;
    std::vector<Shape> inputs;
    MapType out;
  };
  const Sample samples[] = {
      {MaxPool2d{.kernel = 3, .stride = 2, .padding = 1}, {shape}, type},
      {AdaptiveAvgPool2d{.out_h = 1, .out_w = 1}, {shape}, floats},
      {AdaptiveAvgPool2d{.out_h = 3, .out_w = 2}, {shape}, other},
      {Concat{}, {shape, {2, 9, 8, 3}, shape}, type},
      {Crop{.top = 2, .left = 1}, {shape, {2, 5, 6, 1}}, type},
      {Add{}, {shape, shape}, other},
      {Activation{ActivationKind::hardswish}, {shape}, other},
      {Resize{}, {shape, {2, 20, 15, 1}}, floats},
      {Resize{.mode = ResizeMode::nearest, .factor = 2}, {shape}, type},
  };
  for (const Sample& s : samples) {
    const Shape out_shape = output_shape(s.layer, s.inputs);
    std::vector<TypedMap> maps;
    std::vector<Tensor> wide;
    std::vector<ConstView> of_reference;
    for (const Shape& in : s.inputs) maps.push_back(drawn_map(in, type, random));
    for (const TypedMap& in : maps) wide.push_back(in.floats());
    for (const Tensor& in : wide) of_reference.push_back(in.view());
    Tensor exact(out_shape);
    run_reference(s.layer, of_reference, exact.view());
    const MapTypes types{std::vector<MapType>(maps.size(), type), s.out};
    for (Isa isa : supported_isas())
      for (std::string_view force : cpu_implementations(s.layer)) {
        CAPTURE(name_of(s.layer));
        CAPTURE(name_of(isa));
        CAPTURE(force);
        for (const auto& kernel :
             make_cpu_kernels({"node", s.layer, {}, -1}, {.isa = isa, .force = std::string(force)}, types)) {
          TypedMap out(out_shape, s.out);
          std::vector<ConstAnyView> inputs;
          for (TypedMap& in : maps) inputs.push_back(in.view());
          run_on_top(*kernel, inputs, out.view(), 2);
          const Tensor found = out.floats();
          double largest = 0;
          for (std::size_t i = 0; i < found.values().size(); ++i)
            largest = std::max(largest, std::abs(static_cast<double>(found.values()[i]) -
                                                 static_cast<double>(exact.values()[i])));
          const bool moves = s.out == type;
          CHECK(largest <= (moves ? 0
                            : s.out.dtype == DType::f32
                                ? 1e-5
                                : static_cast<double>(s.out.quantisation.scale) / 2 + 1e-5));
        }
      }
  }
}

}  // namespace atrous::int8_test
