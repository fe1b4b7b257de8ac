// The convolution kernels against the layers' references.
#include <doctest/doctest.h>

#include "layers/cuda/cuda_kernels.h"
#include "tests/cuda/device_testing.h"
#include "tests/support/conv2d_testing.h"

namespace atrous::cuda {

namespace {

constexpr cudaStream_t stream = nullptr;

enum class WithResidual { none, full, repeated, in_place };

struct Case {
  Shape in;
  std::int64_t outputs, kernel_h, kernel_w, stride = 1, padding = 0, dilation = 1, groups = 1;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << str_cat(c.in) << " -> " << c.outputs << ", kernel " << c.kernel_h << "x" << c.kernel_w
             << ", stride " << c.stride << ", padding " << c.padding << ", dilation " << c.dilation
             << ", groups " << c.groups;
}

std::shared_ptr<const float> rounded(const std::shared_ptr<const float>& values, std::int64_t count,
                                     bool half) {
  const auto result = std::make_shared<std::vector<float>>(values.get(), values.get() + count);
  for (float& x : *result) x = cuda::rounded(x, half);
  return {result, result->data()};
}

// A convolution drawn, its expected result, and what of it a device needs beside maps.
struct Problem {
  Conv2d layer;
  bool half;
  Tensor in, residual, expected;
  OnDevice bias;

  Problem(const Case& c, WithResidual with, ActivationKind kind, bool half, std::uint64_t seed, Draw draw)
      : half(half), bias(static_cast<std::size_t>(c.outputs) * sizeof(float)) {
    Random random(seed);
    layer = {.weight = {c.outputs, c.in.c / c.groups, c.kernel_h, c.kernel_w, nullptr},
             .bias = drawn(c.outputs, random, draw),
             .stride = c.stride,
             .padding = c.padding,
             .dilation = c.dilation,
             .groups = c.groups,
             .activation = kind};
    layer.weight.data = rounded(drawn(layer.weight.elements(), random, draw), layer.weight.elements(), half);
    in = drawn_map(c.in, random, draw, half);
    const Shape out = output_shape(layer, c.in);
    const Shape of_residual = with == WithResidual::repeated ? Shape{out.n, 1, 1, out.c} : out;
    residual = drawn_map(of_residual, random, draw, half);
    expected = Tensor(out);
    const ConstView more = residual.view();
    conv2d_reference(layer, in.view(), with == WithResidual::none ? nullptr : &more, expected.view());
    check(cudaMemcpy(bias.as<void>(), layer.bias.get(), static_cast<std::size_t>(c.outputs) * sizeof(float),
                     cudaMemcpyHostToDevice),
          "cudaMemcpy");
  }

  std::int64_t input_pitch() const {
    const std::int64_t lanes = half ? 8 : 4;
    return layer.groups > 1 ? layer.weight.d1 : (layer.weight.d1 + lanes - 1) / lanes * lanes;
  }

  // [outputs, inputs, kh, kw] -> [outputs, kh, kw, inputs and zeros], in the maps' type.
  OnDevice channels_last() const {
    const Filter& w = layer.weight;
    std::vector<float> values;
    for (std::int64_t o = 0; o < w.d0; ++o)
      for (std::int64_t ky = 0; ky < w.kernel_h; ++ky)
        for (std::int64_t kx = 0; kx < w.kernel_w; ++kx)
          for (std::int64_t i = 0; i < input_pitch(); ++i)
            values.push_back(i < w.d1 ? w.at(o, i, ky, kx) : 0);
    if (!half) return OnDevice(values);
    std::vector<__half> halves;
    for (float x : values) halves.push_back(__float2half_rn(x));
    return OnDevice(halves);
  }

  ConvolutionWeights weights(const OnDevice& weight) const {
    const auto narrow = [](std::int64_t x) { return static_cast<int>(x); };
    return {.weight = weight.as<void>(),
            .bias = bias.as<float>(),
            .input_pitch = narrow(input_pitch()),
            .kernel_h = narrow(layer.weight.kernel_h),
            .kernel_w = narrow(layer.weight.kernel_w),
            .stride = narrow(layer.stride),
            .padding = narrow(layer.padding),
            .dilation = narrow(layer.dilation),
            .groups = narrow(layer.groups),
            .activation = layer.activation};
  }

  // Of `kernel`, which is given the map of the result and its residual.
  template <class Kernel>
  std::string difference_of(Kernel kernel, WithResidual with, bool half, int wider, double tolerance) const {
    const DeviceMap from(in, half), more(residual, half, wider), fresh(expected.shape(), half, wider);
    const DeviceMap& out = with == WithResidual::in_place ? more : fresh;
    const Map residual_map = more.map();
    kernel(from.map(), with == WithResidual::none ? nullptr : &residual_map, out.map());
    return difference(out, expected, tolerance);
  }
};

// [channels, 1, kh, kw] -> [kh, kw, channels rounded up], NaN where there is no channel.
std::vector<float> depthwise_taps(const Filter& w, bool half) {
  const std::int64_t lanes = half ? 8 : 4;
  std::vector<float> result;
  for (std::int64_t ky = 0; ky < w.kernel_h; ++ky)
    for (std::int64_t kx = 0; kx < w.kernel_w; ++kx)
      for (std::int64_t c = 0; c < (w.d0 + lanes - 1) / lanes * lanes; ++c)
        result.push_back(c < w.d0 ? w.at(c, 0, ky, kx) : not_a_number);
  return result;
}

std::string direct(const Case& c, WithResidual with, ActivationKind kind, const Setting& s, Draw draw,
                   double tolerance) {
  const Problem problem(c, with, kind, s.half, s.seed, draw);
  const OnDevice weight = problem.channels_last();
  return problem.difference_of(
      [&](Map in, const Map* residual, Map out) {
        conv2d_direct(stream, problem.weights(weight), in, residual, out);
      },
      with, s.half, s.wider, tolerance);
}

std::string depthwise(const Case& c, WithResidual with, ActivationKind kind, const Setting& s, Draw draw,
                      double tolerance) {
  const Problem problem(c, with, kind, s.half, s.seed, draw);
  const OnDevice weight(depthwise_taps(problem.layer.weight, s.half));
  return problem.difference_of(
      [&](Map in, const Map* residual, Map out) {
        conv2d_depthwise(stream, problem.weights(weight), in, residual, out);
      },
      with, s.half, s.wider, tolerance);
}

const std::vector<Case> cases{
    {{1, 1, 1, 1}, 1, 1, 1},
    {{1, 1, 9, 3}, 5, 1, 3, 1, 1},
    {{2, 7, 1, 5}, 3, 3, 1, 1, 1},
    {{1, 9, 8, 3}, 24, 7, 7, 2, 3},
    {{1, 6, 7, 21}, 40, 3, 3, 1, 1},
    {{2, 5, 6, 24}, 21, 3, 3, 1, 2, 2},
    {{1, 4, 5, 40}, 8, 3, 3, 1, 12, 12},  // eight taps always fall in the padding
    {{1, 12, 11, 16}, 65, 1, 1},
    {{1, 9, 9, 17}, 130, 2, 2, 3, 0, 2},
    {{3, 5, 5, 8}, 6, 3, 3, 2, 1, 3},
    {{1, 5, 4, 12}, 9, 3, 3, 1, 1, 1, 3},     // small groups: the plain kernel
    {{1, 5, 4, 10}, 40, 3, 3, 1, 1, 1, 2},    // groups of 5 and 20: tiles, unaligned
    {{1, 3, 30, 42}, 150, 1, 1, 1, 0, 1, 2},  // groups wider than a tile
    {{2, 3, 3, 21}, 21, 3, 3, 1, 1, 1, 21},
};

const std::vector<Case> depthwise_cases{
    {{1, 1, 1, 1}, 1, 3, 3, 1, 1, 1, 1},      {{1, 1, 9, 3}, 3, 3, 3, 1, 1, 1, 3},
    {{2, 9, 1, 5}, 5, 5, 5, 1, 2, 1, 5},      {{1, 7, 17, 21}, 21, 3, 3, 1, 1, 1, 21},
    {{2, 8, 19, 24}, 24, 3, 3, 2, 1, 1, 24},  {{1, 11, 23, 40}, 40, 5, 5, 1, 2, 1, 40},
    {{1, 11, 23, 40}, 40, 5, 5, 2, 2, 1, 40}, {{1, 9, 14, 8}, 8, 3, 3, 1, 2, 2, 8},
    {{1, 9, 30, 8}, 8, 5, 5, 1, 8, 4, 8},     {{2, 13, 21, 9}, 9, 3, 3, 2, 3, 3, 9},
    {{1, 13, 21, 9}, 9, 5, 5, 2, 4, 2, 9},    {{1, 13, 31, 4}, 4, 3, 3, 2, 4, 4, 4},
    {{1, 4, 5, 7}, 7, 3, 3, 1, 12, 12, 7},    {{1, 9, 9, 3}, 3, 7, 7, 1, 3, 1, 3},
    {{1, 9, 16, 5}, 5, 3, 3, 3, 1, 1, 5},     {{1, 6, 9, 5}, 5, 1, 3, 1, 1, 1, 5},
    {{1, 14, 29, 8}, 8, 5, 5, 1, 0, 3, 8},    {{1, 3, 70, 300}, 300, 3, 3, 1, 1, 1, 300},
};

}  // namespace

TEST_CASE("cuda conv2d_direct: exact where sums are, for every shape") {
  SKIP_WITHOUT_DEVICE();
  for (const Setting& s : settings)
    for (const Case& c : cases) {
      INFO(text_of(s), ", ", str_cat(c));
      CHECK(direct(c, WithResidual::none, ActivationKind::none, s, Draw::whole, 0) == "");
    }
}

TEST_CASE("cuda conv2d_direct: floats within rounding of the reference, with every residual") {
  SKIP_WITHOUT_DEVICE();
  for (const Setting& s : settings)
    for (const Case& c : cases)
      for (const WithResidual with :
           {WithResidual::none, WithResidual::full, WithResidual::repeated, WithResidual::in_place}) {
        INFO(text_of(s), ", ", str_cat(c), ", residual ", static_cast<int>(with));
        CHECK(direct(c, with, ActivationKind::none, s, Draw::floats, 2e-6) == "");
      }
}

TEST_CASE("cuda conv2d_direct: every activation") {
  SKIP_WITHOUT_DEVICE();
  for (const Setting& s : settings)
    for (const ActivationKind kind : activations) {
      INFO(text_of(s), ", ", name_of(kind));
      CHECK(direct(cases[4], WithResidual::full, kind, s, Draw::floats, 2e-6) == "");
      CHECK(direct(cases[10], WithResidual::full, kind, s, Draw::floats, 2e-6) == "");
      CHECK(direct(cases[11], WithResidual::full, kind, s, Draw::floats, 2e-6) == "");
    }
}

TEST_CASE("cuda conv2d_depthwise: exact where sums are, for every kernel, stride and dilation") {
  SKIP_WITHOUT_DEVICE();
  for (const Setting& s : settings)
    for (const Case& c : depthwise_cases) {
      INFO(text_of(s), ", ", str_cat(c));
      CHECK(depthwise(c, WithResidual::none, ActivationKind::none, s, Draw::whole, 0) == "");
    }
}

TEST_CASE("cuda conv2d_depthwise: floats within rounding of the reference, with every residual") {
  SKIP_WITHOUT_DEVICE();
  for (const Setting& s : settings)
    for (const Case& c : depthwise_cases)
      for (const WithResidual with :
           {WithResidual::none, WithResidual::full, WithResidual::repeated, WithResidual::in_place}) {
        INFO(text_of(s), ", ", str_cat(c), ", residual ", static_cast<int>(with));
        CHECK(depthwise(c, with, ActivationKind::hardswish, s, Draw::floats, 1e-6) == "");
      }
}

TEST_CASE("cuda conv2d_depthwise: every activation") {
  SKIP_WITHOUT_DEVICE();
  for (const Setting& s : settings)
    for (const ActivationKind kind : activations) {
      INFO(text_of(s), ", ", name_of(kind));
      CHECK(depthwise(depthwise_cases[3], WithResidual::full, kind, s, Draw::floats, 1e-6) == "");
      CHECK(depthwise(depthwise_cases[13], WithResidual::full, kind, s, Draw::floats, 1e-6) == "");
    }
}

TEST_CASE("cuda conv_transpose2d: as the reference, for every stride, dilation and kind of group") {
  SKIP_WITHOUT_DEVICE();
  struct Transposed {
    Shape in;
    std::int64_t outputs_per_group, kernel_h, kernel_w, stride, padding = 0, output_padding = 0, dilation = 1,
                                                                groups = 1;
  };
  for (const Setting& s : settings)
    for (const Draw draw : {Draw::whole, Draw::floats})
      for (const Transposed& t :
           {Transposed{{1, 1, 1, 1}, 1, 1, 1, 1}, Transposed{{1, 1, 7, 3}, 5, 2, 2, 2},
            Transposed{{2, 5, 4, 21}, 1, 16, 16, 8, 4, 0, 1, 21}, Transposed{{1, 6, 3, 24}, 9, 3, 3, 1, 1},
            Transposed{{1, 6, 5, 5}, 40, 3, 3, 2, 1, 1}, Transposed{{1, 4, 5, 8}, 3, 3, 2, 3, 0, 0, 2},
            Transposed{{1, 4, 9, 4}, 4, 4, 4, 2, 1, 0, 2}, Transposed{{1, 4, 5, 12}, 2, 3, 3, 2, 1, 1, 1, 3},
            Transposed{{1, 3, 3, 10}, 7, 2, 2, 2, 0, 0, 1, 2}, Transposed{{1, 2, 2, 3}, 2, 2, 2, 20},
            Transposed{{1, 3, 11, 40}, 1, 4, 4, 2, 1, 0, 3, 40}}) {
        Random random(s.seed);
        const ConvTranspose2d layer{
            .weight = {t.in.c, t.outputs_per_group, t.kernel_h, t.kernel_w,
                       drawn(t.in.c * t.outputs_per_group * t.kernel_h * t.kernel_w, random, draw)},
            .bias = drawn(t.outputs_per_group * t.groups, random, draw),
            .stride = t.stride,
            .padding = t.padding,
            .output_padding = t.output_padding,
            .dilation = t.dilation,
            .groups = t.groups};
        const Tensor in = drawn_map(t.in, random, draw, s.half);
        Tensor expected(output_shape(layer, t.in));
        INFO(text_of(s), ", ", str_cat(t.in), " to ", str_cat(expected.shape()), ", stride ", t.stride,
             ", dilation ", t.dilation, ", groups ", t.groups);
        conv_transpose2d_reference(layer, in.view(), expected.view());
        std::vector<float> weight;
        for (std::int64_t ky = 0; ky < t.kernel_h; ++ky)
          for (std::int64_t kx = 0; kx < t.kernel_w; ++kx)
            for (std::int64_t i = 0; i < t.in.c; ++i)
              for (std::int64_t o = 0; o < t.outputs_per_group; ++o)
                weight.push_back(layer.weight.at(i, o, ky, kx));
        const OnDevice device_weight(weight);
        const OnDevice bias(layer.bias.get(), static_cast<std::size_t>(layer.out_channels()) * sizeof(float));
        const DeviceMap from(in, s.half), out(expected.shape(), s.half, s.wider);
        const auto narrow = [](std::int64_t x) { return static_cast<int>(x); };
        conv_transpose2d(stream,
                         {.weight = device_weight.as<float>(),
                          .bias = bias.as<float>(),
                          .kernel_h = narrow(t.kernel_h),
                          .kernel_w = narrow(t.kernel_w),
                          .stride = narrow(t.stride),
                          .padding = narrow(t.padding),
                          .dilation = narrow(t.dilation),
                          .groups = narrow(t.groups)},
                         from.map(), out.map());
        CHECK(difference(out, expected, draw == Draw::whole ? 0 : 2e-6) == "");
      }
}

}  // namespace atrous::cuda
