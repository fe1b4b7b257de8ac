// Kernels in bfloat16 against the layers' references on the same rounded numbers, for every instruction set.
//
// Inputs are small whole numbers and weights sixteenths of such, which bfloat16 holds exactly and whose sums
// fp32 does: a kernel's output must be the reference's, rounded once.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "layers/cpu/conv/conv2d_implicit_gemm_bf16.h"
#include "layers/cpu/conv/conv2d_winograd.h"
#include "layers/cpu/cpu_backend.h"
#include "layers/cpu/maps/convert.h"
#include "tests/support/conv2d_testing.h"
#include "tests/support/typed_map.h"

namespace atrous::bf16_test {

namespace {

Tensor rounded(ConstView values, DType dtype) { return TypedMap(values, MapType{dtype}).floats(); }

std::shared_ptr<const float> rounded_weights(const Filter& w) {
  std::shared_ptr<float[]> out(new float[static_cast<std::size_t>(w.elements())]);
  for (std::int64_t i = 0; i < w.elements(); ++i) out[i] = to_float(to_bf16(w.data.get()[i]));
  return {out, out.get()};
}

struct Case {
  const char* name;
  Shape in;
  std::int64_t out, kernel, stride, dilation, groups = 1;
};

constexpr Case cases[] = {
    {"one pixel", {1, 1, 1, 2}, 1, 1, 1, 1},
    {"1x1", {1, 9, 9, 64}, 16, 1, 1, 1},
    {"1x1, wide", {1, 5, 7, 1026}, 70, 1, 1, 1},
    {"1x1, a stretch and two", {1, 3, 5, 514}, 33, 1, 1, 1},
    {"1x1, more than 512 outputs", {2, 4, 5, 34}, 547, 1, 1, 1},
    {"1x1, stride 2", {1, 9, 10, 48}, 40, 1, 2, 1},
    {"3x3", {1, 9, 11, 32}, 31, 3, 1, 1},
    {"3x3, stride 2, batch", {3, 10, 7, 32}, 24, 3, 2, 1},
    {"3x3, few channels", {1, 16, 13, 6}, 9, 3, 1, 1},
    {"3x3, wide taps", {1, 4, 5, 600}, 17, 3, 1, 1},
    {"3x3, dilation 4", {1, 11, 11, 24}, 24, 3, 1, 4},
    {"rate 12", {1, 17, 16, 34}, 21, 3, 1, 12},
    {"rate 36, only the middle tap", {1, 13, 13, 16}, 16, 3, 1, 36},
    {"two groups", {1, 7, 7, 24}, 36, 3, 1, 1, 2},
    {"more than 192 pixels", {1, 15, 14, 8}, 5, 3, 1, 1},
    {"193 pixels", {1, 1, 193, 8}, 65, 1, 1, 1},
};

DrawnConv2d drawn_case(const Case& c, bool residual, ActivationKind activation) {
  return draw_convolution({.weight = {c.out, c.in.c / c.groups, c.kernel, c.kernel, nullptr},
                           .bias = nullptr,
                           .stride = c.stride,
                           .padding = c.dilation * (c.kernel - 1) / 2,
                           .dilation = c.dilation,
                           .groups = c.groups,
                           .activation = activation},
                          c.in, {.residual = residual}, Draw::whole, Draw::sixteenths);
}

// The reference on what bfloat16 holds of weights, input and residual.
Tensor expected_of(DrawnConv2d& s, const TypedMap& in, const TypedMap* residual) {
  s.layer.weight.data = rounded_weights(s.layer.weight);
  const Tensor from = in.floats();
  Tensor out(s.out);
  if (residual) {
    const Tensor added = residual->floats();
    const ConstView view = added.view();
    conv2d_reference(s.layer, from.view(), &view, out.view());
  } else {
    conv2d_reference(s.layer, from.view(), nullptr, out.view());
  }
  return out;
}

}  // namespace

TEST_CASE("a float becomes the nearest bfloat16, of two as near the even one") {
  // Neighbours by their bits; their distance in double, which holds all of them exactly.
  for (std::uint32_t high = 0; high < 0x10000; high += 7)
    for (const std::uint32_t low : {0U, 1U, 0x7fffU, 0x8000U, 0x8001U, 0xffffU}) {
      const auto x = std::bit_cast<float>(high << 16 | low);
      const Bf16 found = to_bf16(x);
      if (std::isnan(x)) {
        CHECK(std::isnan(to_float(found)));
        continue;
      }
      const Bf16 below{static_cast<std::uint16_t>(high)}, above{static_cast<std::uint16_t>(high + 1)};
      const double down = std::abs(static_cast<double>(x) - static_cast<double>(to_float(below)));
      // Beyond the largest lies what would be the next if exponents went on.
      const double next =
          std::isinf(to_float(above)) ? std::copysign(0x1p128, x) : static_cast<double>(to_float(above));
      const double up = std::abs(static_cast<double>(x) - next);
      const bool take_below = std::isinf(x) || down < up || (down == up && high % 2 == 0);
      CHECK(found == (take_below ? below : above));
    }
}

TEST_CASE("vectors of bfloat16 are widened and rounded as single ones are") {
  std::vector<float> values;
  for (std::uint32_t high = 0; high < 0x10000; high += 3)
    for (const std::uint32_t low : {0U, 0x7fffU, 0x8000U, 0x8001U})
      values.push_back(std::bit_cast<float>(high << 16 | low));
  values.push_back(1.f);  // an odd number of them
  for (Isa isa : supported_isas()) {
    CAPTURE(name_of(isa));
    const Conversion conversion = conversions(isa);
    std::vector<Bf16> halves(values.size());
    std::vector<float> wide(values.size());
    const auto count = std::ssize(values);
    conversion.narrow(values.data(), halves.data(), count);
    conversion.widen(halves.data(), wide.data(), count);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < values.size(); ++i)
      wrong += halves[i] != to_bf16(values[i]) ||
               std::bit_cast<std::uint32_t>(wide[i]) != static_cast<std::uint32_t>(halves[i].bits) << 16;
    CHECK(wrong == 0);
  }
}

TEST_CASE("the implicit GEMM in bfloat16 equals the reference, rounded once, on every named shape") {
  for (const Case& c : cases)
    for (const DType out_type : {DType::bf16, DType::f32})
      for (const int residual : {0, 1, 2})  // none, bfloat16, fp32
        for (const ActivationKind activation : {ActivationKind::none, ActivationKind::relu}) {
          DrawnConv2d s = drawn_case(c, residual > 0, activation);
          TypedMap in(s.in.view(), {DType::bf16}),
              added(s.residual.view(), MapType{residual == 1 ? DType::bf16 : DType::f32});
          const Tensor exact = expected_of(s, in, residual > 0 ? &added : nullptr);
          const Tensor expected = rounded(exact.view(), out_type);
          for (Isa isa : supported_isas())
            for (const bool dot : {true, false}) {
              CAPTURE(c.name);
              CAPTURE(name_of(out_type));
              CAPTURE(residual);
              CAPTURE(name_of(isa));
              CAPTURE(dot);
              const auto kernel = make_conv2d_implicit_gemm_bf16(
                  std::make_shared<PackedConv2d>(s.layer, isa, 2, DType::bf16), dot);
              TypedMap out(s.out, {out_type});
              std::vector<ConstAnyView> inputs{in.view()};
              if (residual > 0) inputs.push_back(added.view());
              run_on_top(*kernel, inputs, out.view(), 2);
              CHECK(difference(out.floats().view(), expected.view()) == "");
            }
        }
}

TEST_CASE("in bfloat16, too, a residual of one pixel is repeated over the map") {
  DrawnConv2d s = drawn_case({"", {2, 5, 6, 10}, 7, 3, 1, 1}, false, ActivationKind::relu);
  Random random(9);
  Tensor pixels({2, 1, 1, 7});
  fill(pixels.view(), random, Draw::sixteenths);
  TypedMap in(s.in.view(), {DType::bf16});
  for (const DType type : {DType::bf16, DType::f32}) {
    TypedMap added(pixels.view(), MapType{type});
    const Tensor expected = rounded(expected_of(s, in, &added).view(), DType::bf16);
    for (Isa isa : supported_isas()) {
      CAPTURE(name_of(isa));
      TypedMap out(s.out, {DType::bf16});
      run_on_top(
          *make_conv2d_implicit_gemm_bf16(std::make_shared<PackedConv2d>(s.layer, isa, 1, DType::bf16)),
          {in.view(), added.view()}, out.view(), 2);
      CHECK(difference(out.floats().view(), expected.view()) == "");
    }
  }
}

TEST_CASE("Winograd's kernels take maps and weights in bfloat16") {
  for (const Case& c :
       {Case{"one tile", {1, 4, 4, 16}, 8, 3, 1, 1}, Case{"odd", {2, 13, 11, 18}, 37, 3, 1, 1},
        Case{"wide", {1, 9, 8, 514}, 70, 3, 1, 1}, Case{"dilated", {1, 15, 15, 32}, 33, 3, 1, 2},
        Case{"rate 12", {1, 15, 17, 48}, 20, 3, 1, 12}, Case{"stride 2", {2, 13, 10, 34}, 37, 3, 2, 1},
        Case{"stride 2, wide", {1, 6, 9, 514}, 40, 3, 2, 1}})
    for (const int residual : {0, 1, 2})
      for (const DType out_type : {DType::bf16, DType::f32}) {
        DrawnConv2d s = drawn_case(c, residual > 0, ActivationKind::relu);
        TypedMap in(s.in.view(), {DType::bf16}),
            added(s.residual.view(), MapType{residual == 1 ? DType::bf16 : DType::f32});
        const Tensor expected = expected_of(s, in, residual > 0 ? &added : nullptr);
        for (Isa isa : supported_isas())
          for (const int tile : {2, 3, 4, 6}) {
            CAPTURE(c.name);
            CAPTURE(residual);
            CAPTURE(name_of(out_type));
            CAPTURE(name_of(isa));
            CAPTURE(tile);
            const auto kernel =
                make_conv2d_winograd(std::make_shared<PackedConv2d>(s.layer, isa, 1, DType::bf16), tile);
            CHECK((kernel != nullptr) == (c.stride == 1 || tile == 3));
            if (!kernel) continue;
            TypedMap out(s.out, {out_type});
            std::vector<ConstAnyView> inputs{in.view()};
            if (residual > 0) inputs.push_back(added.view());
            run_on_top(*kernel, inputs, out.view(), 2);
            // Transforms round as in fp32 (winograd_test.cc has their bounds); then half a unit in the last
            // of 8 places.
            const double tolerance = 1e-3 + (out_type == DType::bf16 ? 1.0 / 256 : 0);
            CHECK(difference(out.floats().view(), expected.view(), tolerance) == "");
          }
      }
}

TEST_CASE("every layer runs on maps of bfloat16: what it computes of their numbers, rounded once") {
  Random random(5);
  const Shape map{2, 9, 8, 22};
  struct Sample {
    Layer layer;
    std::vector<Shape> inputs;
  };
  const Conv2d grouped{.weight = {22, 1, 3, 3, drawn(22 * 9, random, Draw::sixteenths)},
                       .bias = nullptr,
                       .padding = 1,
                       .groups = 22};
  const Conv2d odd{.weight = {8, 3, 3, 3, drawn(8 * 27, random, Draw::sixteenths)}, .bias = nullptr};
  const Sample samples[] = {
      {MaxPool2d{.kernel = 3, .stride = 2, .padding = 1}, {map}},
      {Resize{.mode = ResizeMode::bilinear}, {map, {2, 17, 5, 1}}},
      {AdaptiveAvgPool2d{1, 1}, {map}},
      {AdaptiveAvgPool2d{2, 3}, {{1, 40, 37, 300}}},
      {Concat{}, {map, {2, 9, 8, 3}, map}},
      {Crop{.top = 2, .left = 1}, {map, {2, 5, 6, 1}}},
      {Add{}, {map, map}},
      {Activation{ActivationKind::hardswish}, {map}},
      {grouped, {map}},
      {odd, {{1, 9, 8, 3}}},
  };
  for (const Sample& s : samples) {
    const Shape shape = output_shape(s.layer, s.inputs);
    std::vector<TypedMap> maps;
    std::vector<Tensor> floats;
    std::vector<ConstView> of_reference;
    for (const Shape& in : s.inputs) {
      Tensor t(in);
      fill(t.view(), random, Draw::floats);
      maps.emplace_back(t.view(), MapType{DType::bf16});
    }
    for (const TypedMap& in : maps) floats.push_back(in.floats());
    for (const Tensor& in : floats) of_reference.push_back(in.view());
    Tensor exact(shape);
    run_reference(s.layer, of_reference, exact.view());
    for (const DType out_type : {DType::bf16, DType::f32})
      for (Isa isa : supported_isas())
        for (std::string_view force : cpu_implementations(s.layer)) {
          CAPTURE(name_of(s.layer));
          CAPTURE(name_of(out_type));
          CAPTURE(name_of(isa));
          CAPTURE(force);
          const MapTypes types{std::vector<MapType>(maps.size(), {DType::bf16}), {out_type}};
          for (const auto& kernel : make_cpu_kernels({"node", s.layer, {}, -1},
                                                     {.isa = isa, .force = std::string(force)}, types)) {
            TypedMap out(shape, {out_type});
            std::vector<ConstAnyView> inputs;
            for (TypedMap& in : maps) inputs.push_back(in.view());
            run_on_top(*kernel, inputs, out.view(), 2);
            const double tolerance = out_type == DType::bf16 ? 1.0 / 256 : 1e-6;
            CHECK(difference(out.floats().view(), exact.view(), tolerance) == "");
          }
        }
  }
}

TEST_CASE("a kernel of fp32 refuses a map of another type") {
  const auto kernels = make_cpu_kernels({"node", Activation{ActivationKind::relu}, {}, -1}, {});
  TypedMap map({1, 2, 2, 4}, {DType::bf16});
  CHECK(error_of(ErrorCode::invalid_argument, [&] {
          run_on_top(*kernels.front(), {map.view()}, map.view(), 1);
        }) == "a view of F32 on elements of BF16");
}

}  // namespace atrous::bf16_test
