// The convolutions by cuDNN and cuBLASLt against the layer's reference, with the libraries simulated
// (simulation/libraries.h): what is asked of them, which engines may run, what is kept of a search.
#include <doctest/doctest.h>

#include <fstream>
#include <functional>
#include <optional>
#include <thread>

#include "layers/cuda/conv/conv2d_cudnn.h"
#include "layers/cuda/conv/matmul_cublaslt.h"
#include "layers/cuda/conv/padded_conv2d.h"
#include "layers/cuda/queue.h"
#include "tests/cuda/device_testing.h"
#include "tests/cuda/simulation/libraries.h"
#include "tests/cuda/simulation/number.h"
#include "tests/cuda/simulation/simulation.h"
#include "tests/support/conv2d_testing.h"
#include "tests/support/temporary.h"

namespace atrous::cuda {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

using Make = std::unique_ptr<Kernel> (*)(const Conv2d&, const std::shared_ptr<Context>&);
const std::vector<Make> all_makes{make_conv2d_cudnn, make_conv2d_cudnn_plain, make_conv2d_cublaslt};

// Engines and algorithms as they were, whatever a test sets.
struct Libraries {
  Libraries() { reset(); }
  ~Libraries() { reset(); }
  static void reset() {
    simulated::set_engines(simulated::default_engines());
    simulated::set_algorithms(simulated::default_algorithms());
    simulated::engines_run();
    simulated::algorithms_run();
    simulated::plans_made();
  }
};

enum class With { nothing, residual, repeated };

struct Case {
  Shape in;
  std::int64_t outputs, kernel, stride = 1, padding = 0, dilation = 1, groups = 1;
};
std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << str_cat(c.in) << " -> " << c.outputs << ", kernel " << c.kernel << ", stride " << c.stride
             << ", padding " << c.padding << ", dilation " << c.dilation << ", groups " << c.groups;
}

std::shared_ptr<Context> open(Precision precision, bool search = false, std::string file = {}) {
  return std::make_shared<Context>(
      DeviceOptions{.precision = precision, .search = search, .search_file = std::move(file)});
}

// Everything in the map's memory, padding and all.
bool is_finite(const DeviceMap& map) {
  const Map m = map.map();
  const auto elements = static_cast<std::size_t>(m.pixels() * m.pitch);
  std::vector<std::byte> bytes(elements * (m.half ? 2 : 4));
  check(cudaMemcpy(bytes.data(), m.data, bytes.size(), cudaMemcpyDeviceToHost), "cudaMemcpy");
  for (std::size_t i = 0; i < elements; ++i)
    if (!std::isfinite(simulated::get_number(bytes.data(), m.half, static_cast<std::int64_t>(i))))
      return false;
  return true;
}

// A convolution of small integers, in which every sum is exact, its operands on the device, and its result.
struct Drawn {
  Conv2d layer;
  bool half;
  Tensor in, residual, expected;
  DeviceMap device_in, device_residual, device_out;
  std::vector<Shape> shapes;

  Drawn(const Case& c, With with, ActivationKind kind, bool is_half, std::uint64_t seed = 1)
      : layer(draw_layer(c, kind, seed)),
        half(is_half),
        in(draw(c.in, seed + 1)),
        residual(draw(with == With::repeated ? Shape{c.in.n, 1, 1, c.outputs} : output_shape(layer, c.in),
                      seed + 2)),
        expected(output_shape(layer, c.in)),
        device_in(in, half),
        device_residual(residual, half),
        device_out(expected.shape(), half),
        shapes{c.in} {
    if (with != With::nothing) shapes.push_back(residual.shape());
    const ConstView added = residual.view();
    conv2d_reference(layer, in.view(), with == With::nothing ? nullptr : &added, expected.view());
  }

  static Tensor draw(const Shape& shape, std::uint64_t seed) {
    Random random(seed);
    return drawn_map(shape, random, Draw::whole, false);
  }
  static Conv2d draw_layer(const Case& c, ActivationKind kind, std::uint64_t seed) {
    Random random(seed);
    Conv2d layer{.weight = {c.outputs, c.in.c / c.groups, c.kernel, c.kernel, nullptr},
                 .bias = drawn(c.outputs, random, Draw::whole),
                 .stride = c.stride,
                 .padding = c.padding,
                 .dilation = c.dilation,
                 .groups = c.groups,
                 .activation = kind};
    layer.weight.data = drawn(layer.weight.elements(), random, Draw::whole);
    return layer;
  }

  static AnyView view(const DeviceMap& map, const Shape& shape) {
    return {static_cast<std::byte*>(map.map().data), shape, map.map().pitch,
            map.map().half ? DType::f16 : DType::f32};
  }
  // Puts the kernel's work into the queue. In place, the output is where the residual was.
  void put(const Kernel& kernel, Queue& queue, std::span<std::byte> workspace, bool in_place = false) const {
    std::vector<ConstAnyView> inputs{view(device_in, in.shape())};
    if (shapes.size() > 1) inputs.push_back(view(device_residual, residual.shape()));
    kernel.run({.inputs = inputs,
                .output = view(in_place ? device_residual : device_out, expected.shape()),
                .workspace = workspace,
                .queue = &queue});
  }
  // "" where the kernel's result is the reference's and what is added to its channels are numbers.
  std::string run(const Kernel& kernel, const std::shared_ptr<Context>& context,
                  bool in_place = false) const {
    Queue queue(context);
    const OnDevice workspace(kernel.workspace_bytes(shapes, expected.shape(), 1) + 1);
    put(kernel, queue, {workspace.as<std::byte>(), kernel.workspace_bytes(shapes, expected.shape(), 1)},
        in_place);
    queue.wait();
    return differs(in_place ? device_residual : device_out);
  }
  std::string differs(const DeviceMap& found) const {
    if (!is_finite(found)) return "what is between channels and the next pixel is no number";
    const bool exact = layer.activation == ActivationKind::none || layer.activation == ActivationKind::relu ||
                       layer.activation == ActivationKind::relu6;
    const Tensor wanted = rounded(expected, half), result = found.read();
    return atrous::difference(result.view(), wanted.view(), exact ? 0 : half ? 1.0 / 512 : 1e-6);
  }
};

double cost_of(const Kernel& kernel, const Drawn& d) { return kernel.cost(d.shapes, d.expected.shape()); }

const Case plain_case{{1, 5, 6, 8}, 16, 3, 1, 1};
const Case pixel_case{{1, 5, 6, 8}, 16, 1};

// The kernel that each implementation makes of a case it accepts.
void for_each_implementation(const std::function<void(Make, const Case&)>& body) {
  for (const Make make : all_makes) body(make, make == make_conv2d_cublaslt ? pixel_case : plain_case);
}

}  // namespace

TEST_CASE("convolutions by the libraries are the reference's, whatever the shape, residual and activation") {
  const Libraries libraries;
  const std::vector<Case> cases{
      {{1, 7, 9, 3}, 5, 7, 2, 3},  {{2, 6, 5, 21}, 24, 3, 1, 1}, {{1, 9, 8, 24}, 21, 3, 1, 2, 2},
      {{1, 5, 4, 40}, 8, 3, 2, 1}, {{1, 4, 3, 1}, 1, 3, 1, 1},   {{2, 3, 5, 40}, 21, 1},
      {{1, 1, 1, 24}, 40, 1},      {{1, 6, 4, 5}, 3, 1, 2},      {{1, 5, 5, 32}, 16, 3, 1, 1, 1, 2}};
  for (const Precision precision : {Precision::fp32, Precision::tf32, Precision::fp16}) {
    const auto context = open(precision);
    for (const Case& c : cases)
      for (const With with : {With::nothing, With::residual, With::repeated})
        for (const ActivationKind kind : activations) {
          if (with == With::repeated && c.in.h == 1) continue;
          const Drawn drawn(c, with, kind, precision == Precision::fp16);
          for (const Make make : all_makes) {
            const auto kernel = make(drawn.layer, context);
            if (!kernel) continue;
            CAPTURE(str_cat(kernel->name(), ", ", c, ", residual ", static_cast<int>(with), ", ",
                            name_of(kind), ", ", name_of(precision)));
            CHECK(drawn.run(*kernel, context) == "");
          }
        }
  }
}

TEST_CASE("which convolutions the libraries are given") {
  const Libraries libraries;
  const auto accepts = [](Make make, const Case& c, Precision precision) {
    const Drawn drawn(c, With::nothing, ActivationKind::relu, precision == Precision::fp16);
    return make(drawn.layer, open(precision)) != nullptr;
  };
  CHECK(accepts(make_conv2d_cublaslt, pixel_case, Precision::fp32));
  CHECK(!accepts(make_conv2d_cublaslt, plain_case, Precision::fp32));
  CHECK(!accepts(make_conv2d_cublaslt, {{1, 5, 6, 8}, 16, 1, 2}, Precision::fp32));
  CHECK(!accepts(make_conv2d_cublaslt, {{1, 5, 6, 8}, 16, 1, 1, 1}, Precision::fp32));
  CHECK(!accepts(make_conv2d_cublaslt, {{1, 5, 6, 8}, 16, 1, 1, 0, 1, 2}, Precision::fp32));
  // Groups only where padding would not mix them: of whole pitches.
  CHECK(accepts(make_conv2d_cudnn, {{1, 5, 6, 8}, 16, 3, 1, 1, 1, 2}, Precision::fp32));
  CHECK(!accepts(make_conv2d_cudnn, {{1, 5, 6, 8}, 16, 3, 1, 1, 1, 2}, Precision::fp16));
  CHECK(!accepts(make_conv2d_cudnn, {{1, 5, 6, 8}, 8, 3, 1, 1, 1, 8}, Precision::fp32));
}

TEST_CASE("a convolution may be written over its residual") {
  const Libraries libraries;
  for (const bool half : {false, true})
    for_each_implementation([&](Make make, const Case& c) {
      const auto context = open(half ? Precision::fp16 : Precision::fp32);
      for (const ActivationKind kind : {ActivationKind::relu, ActivationKind::hardswish}) {
        const Drawn drawn(c, With::residual, kind, half);
        const auto kernel = make(drawn.layer, context);
        CAPTURE(kernel->name());
        CHECK(drawn.run(*kernel, context, true) == "");
      }
    });
}

TEST_CASE("a convolution that no engine takes costs infinity, and says why when run all the same") {
  const Libraries libraries;
  const auto context = open(Precision::fp32);
  const Drawn drawn(plain_case, With::residual, ActivationKind::relu, false);
  simulated::set_engines({{4, {}, true, false}});
  const auto fused = make_conv2d_cudnn(drawn.layer, context);
  const auto plain = make_conv2d_cudnn_plain(drawn.layer, context);
  CHECK(cost_of(*fused, drawn) == infinity);
  CHECK(cost_of(*plain, drawn) < infinity);
  CHECK(drawn.run(*plain, context) == "");
  const std::string why = error_of(ErrorCode::unsupported, [&] { drawn.run(*fused, context); });
  CHECK(why ==
        "cudnn: conv2d 3x3 stride 1 padding 1 dilation 1 groups 1 relu, 1x5x6x8 -> 16, residual, fp32: "
        "no engine takes it");

  simulated::set_engines({});
  simulated::set_algorithms({});
  for_each_implementation([&](Make make, const Case& c) {
    const Drawn other(c, With::nothing, ActivationKind::none, false);
    CHECK(cost_of(*make(other.layer, context), other) == infinity);
  });
}

TEST_CASE(
    "an engine is preferred where it is advised, then where the convolution is plain, then as a fallback") {
  const Libraries libraries;
  const auto context = open(Precision::fp32);
  const Drawn drawn(plain_case, With::nothing, ActivationKind::relu, false);
  const auto costs = [&] {
    return std::array{cost_of(*make_conv2d_cudnn(drawn.layer, context), drawn),
                      cost_of(*make_conv2d_cudnn_plain(drawn.layer, context), drawn)};
  };
  const auto advised = costs();
  simulated::set_engines({{0, {}, false}});
  const auto fallback = costs();
  CHECK(advised[0] < advised[1]);
  CHECK(advised[1] < fallback[0]);
  CHECK(fallback[0] < fallback[1]);
}

TEST_CASE("engines that are not deterministic or not as precise as asked for never run") {
  const Libraries libraries;
  const auto runs = [](cudnnBackendNumericalNote_t note, Precision precision) {
    simulated::set_engines({{3, {CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP, note}}, {9, {}, false}});
    const auto context = open(precision);
    const Drawn drawn(plain_case, With::nothing, ActivationKind::relu, precision == Precision::fp16);
    simulated::engines_run();
    for (const Make make : {make_conv2d_cudnn, make_conv2d_cudnn_plain})
      drawn.run(*make(drawn.layer, context), context);
    const auto engines = simulated::engines_run();
    REQUIRE(engines.size() == 2);
    CHECK(engines[0] == engines[1]);
    return engines[0] == 3;
  };
  for (const Precision precision : {Precision::fp32, Precision::tf32, Precision::fp16}) {
    for (const auto note : {CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC, CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS,
                            CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION, CUDNN_NUMERICAL_NOTE_FFT,
                            CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13})
      CHECK(!runs(note, precision));
    CHECK(runs(CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4, precision));
    CHECK(runs(CUDNN_NUMERICAL_NOTE_TENSOR_CORE, precision) == (precision != Precision::fp32));
  }
}

TEST_CASE("a matrix product that would add up in the output's type or in any order never runs") {
  const Libraries libraries;
  const auto context = open(Precision::fp16);
  const Drawn drawn(pixel_case, With::nothing, ActivationKind::relu, true);
  const auto kernel = make_conv2d_cublaslt(drawn.layer, context);
  CHECK(drawn.run(*kernel, context) == "");
  CHECK(simulated::algorithms_run() == std::vector<std::uint64_t>{1});
  simulated::set_algorithms(
      {{5, CUBLASLT_REDUCTION_SCHEME_INPLACE}, {6, CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE}});
  CHECK(cost_of(*make_conv2d_cublaslt(drawn.layer, context), drawn) == infinity);
}

TEST_CASE("an engine that wants too much memory is passed over") {
  const Libraries libraries;
  simulated::set_engines({{3, {}, true, true, std::size_t{257} << 20}, {4, {}, true, true, 100}});
  simulated::set_algorithms({{3, 0, std::size_t{33} << 20}, {4, 0, 100}});
  const auto context = open(Precision::fp32);
  for_each_implementation([&](Make make, const Case& c) {
    const Drawn drawn(c, With::nothing, ActivationKind::relu, false);
    const auto kernel = make(drawn.layer, context);
    CHECK(kernel->workspace_bytes(drawn.shapes, drawn.expected.shape(), 1) == 100);
    CHECK(drawn.run(*kernel, context) == "");
  });
}

TEST_CASE("several threads may run one kernel, each with its own queue and sizes") {
  const Libraries libraries;
  for_each_implementation([&](Make make, const Case& c) {
    const auto context = open(Precision::fp32);
    const Drawn first(c, With::residual, ActivationKind::relu, false);
    const auto kernel = make(first.layer, context);
    std::vector<std::string> differences(4);
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < differences.size(); ++t)
      threads.emplace_back([&, t] {
        for (std::int64_t i = 0; i < 8; ++i) {
          Case sized = c;
          sized.in.h = 3 + i % 3;
          Drawn drawn(sized, With::residual, ActivationKind::relu, false);  // the same seed: the same weights
          differences[t] += drawn.run(*kernel, context);
        }
      });
    for (std::thread& t : threads) t.join();
    for (const std::string& d : differences) CHECK(d == "");
  });
}

TEST_CASE("a run is recorded and replayed on what its maps hold then") {
  const Libraries libraries;
  for_each_implementation([&](Make make, const Case& c) {
    const auto context = open(Precision::fp32);
    const Drawn drawn(c, With::repeated, ActivationKind::hardswish, false);
    const auto kernel = make(drawn.layer, context);
    Queue queue(context);
    const std::size_t bytes = kernel->workspace_bytes(drawn.shapes, drawn.expected.shape(), 1);
    const OnDevice workspace(bytes + 1);
    for (int i = 0; i < 4; ++i) {
      const DeviceMap fresh(drawn.expected.shape(), false);  // NaN
      check(cudaMemcpy(drawn.device_out.map().data, fresh.map().data,
                       device_bytes(drawn.expected.shape(), Precision::fp32), cudaMemcpyDeviceToDevice),
            "cudaMemcpy");
      queue.run(7, [&] { drawn.put(*kernel, queue, {workspace.as<std::byte>(), bytes}); });
      queue.wait();
      CHECK(drawn.differs(drawn.device_out) == "");
    }
  });
}

TEST_CASE("kernels of one layer share its weights; another layer has its own") {
  const Libraries libraries;
  const auto context = open(Precision::fp32);
  const Drawn a(pixel_case, With::nothing, ActivationKind::relu, false);
  const Drawn b(pixel_case, With::nothing, ActivationKind::relu, false, 5);
  const std::size_t before = simulated::allocations().count;
  const auto first = make_conv2d_cudnn(a.layer, context);
  const std::size_t of_one = simulated::allocations().count - before;
  const auto second = make_conv2d_cublaslt(a.layer, context);
  CHECK(simulated::allocations().count == before + of_one);
  CHECK(first->packed_bytes() == second->packed_bytes());
  const auto other = make_conv2d_cudnn(b.layer, context);
  CHECK(simulated::allocations().count == before + 2 * of_one);
  CHECK(a.run(*second, context) == "");
  CHECK(b.run(*other, context) == "");
}

TEST_CASE("layers that are alike but for their weights share a plan, for as long as one of them is there") {
  const Libraries libraries;
  const auto context = open(Precision::fp32);
  const Drawn a(plain_case, With::residual, ActivationKind::relu, false);
  const Drawn b(plain_case, With::residual, ActivationKind::relu, false, 5);
  const Drawn other(plain_case, With::residual, ActivationKind::relu6, false);
  const auto first = make_conv2d_cudnn(a.layer, context);
  CHECK(a.run(*first, context) == "");
  CHECK(simulated::plans_made() == 1);
  {
    const auto second = make_conv2d_cudnn(b.layer, context);
    CHECK(b.run(*second, context) == "");
    CHECK(simulated::plans_made() == 0);
    const auto different = make_conv2d_cudnn(other.layer, context);
    CHECK(other.run(*different, context) == "");
    CHECK(simulated::plans_made() == 1);
  }
  const auto again = make_conv2d_cudnn(other.layer, context);
  CHECK(other.run(*again, context) == "");
  CHECK(simulated::plans_made() == 1);
  const auto elsewhere = make_conv2d_cudnn(a.layer, open(Precision::fp32));
  CHECK(elsewhere->workspace_bytes(a.shapes, a.expected.shape(), 1) ==
        first->workspace_bytes(a.shapes, a.expected.shape(), 1));
  CHECK(simulated::plans_made() == 1);
}

TEST_CASE("a map with gaps between its pixels is refused") {
  const Libraries libraries;
  const auto context = open(Precision::fp32);
  const Drawn drawn(plain_case, With::nothing, ActivationKind::relu, false);
  const auto kernel = make_conv2d_cudnn(drawn.layer, context);
  Queue queue(context);
  std::vector<ConstAnyView> inputs{Drawn::view(drawn.device_in, drawn.in.shape())};
  inputs[0].pitch = 12;
  CHECK(error_of(ErrorCode::invalid_argument, [&] {
          kernel->run({.inputs = inputs,
                       .output = Drawn::view(drawn.device_out, drawn.expected.shape()),
                       .workspace = {},
                       .queue = &queue});
        }) == "conv2d on cuda: input of 8 channels: expected a pitch of 8, found 12");
}

TEST_CASE("a search takes the quickest engine, and its file saves the next process the search") {
  const Libraries libraries;
  const testing::TemporaryFolder folder;
  const std::string file = folder / "searches";
  simulated::set_engines({{3, {CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC}},
                          {4, {}, true, true, 64, 40'000},
                          {5, {}, true, true, 64, 10'000},
                          {6, {}, false, true, 64, 25'000}});
  simulated::set_algorithms({{4, 0, 64, 40'000}, {5, 0, 64, 10'000}, {6, 0, 64, 25'000}});
  const auto runs = [] {
    const auto engines = simulated::engines_run();
    const auto algorithms = simulated::algorithms_run();
    return std::pair(engines.size() + algorithms.size(),
                     engines.empty() ? algorithms.empty() ? 0 : static_cast<std::int64_t>(algorithms.back())
                                     : engines.back());
  };
  for_each_implementation([&](Make make, const Case& c) {
    const Drawn drawn(c, With::residual, ActivationKind::hardswish, false);
    const auto context = open(Precision::fp32, true, file);
    const auto kernel = make(drawn.layer, context);
    CAPTURE(kernel->name());
    const double cost = cost_of(*kernel, drawn);
    CHECK(cost >= 10'000);
    CHECK(cost < 25'000);
    CHECK(runs().first > 3);
    CHECK(drawn.run(*kernel, context) == "");
    CHECK(runs() == std::pair(std::size_t{1}, std::int64_t{5}));

    const auto next = open(Precision::fp32, true, file);
    const auto again = make(drawn.layer, next);
    CHECK(cost_of(*again, drawn) == doctest::Approx(cost).epsilon(1e-4));
    CHECK(runs().first == 0);
    CHECK(drawn.run(*again, next) == "");
    CHECK(runs() == std::pair(std::size_t{1}, std::int64_t{5}));
  });
}

TEST_CASE("what is damaged in a file of searches is searched again, and what is not is kept") {
  const Libraries libraries;
  const testing::TemporaryFolder folder;
  const std::string file = folder / "searches";
  simulated::set_algorithms({});
  const Drawn a(plain_case, With::nothing, ActivationKind::relu, false);
  const Drawn b(pixel_case, With::nothing, ActivationKind::relu, false);
  const auto searches = [&](const Drawn& drawn) {
    const auto context = open(Precision::fp32, true, file);
    simulated::engines_run();
    CHECK(cost_of(*make_conv2d_cudnn(drawn.layer, context), drawn) < infinity);
    return !simulated::engines_run().empty();
  };
  const auto contents = [&] {
    std::ifstream in(file);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  CHECK(searches(a));
  const std::string of_a = contents();
  CHECK(searches(b));
  CHECK(!searches(a));
  CHECK(!searches(b));
  const std::string whole = contents();

  // A byte of one line: only that one is lost.
  for (std::size_t at = 0; at + 1 < of_a.size(); at += 7) {
    std::string damaged = of_a;
    damaged[at] = damaged[at] == '1' ? '2' : '1';
    std::ofstream(file) << damaged;
    CHECK(searches(a));
    CHECK(contents() != damaged);
  }
  for (const std::string& damaged :
       {std::string("\n\n\t\t\t\n"), whole.substr(0, whole.size() / 2), std::string(1000, '\0')}) {
    std::ofstream(file) << damaged << '\n' << of_a;
    CHECK(!searches(a));
  }
  CHECK(error_of(ErrorCode::io, [&] {
          const auto context = open(Precision::fp32, true, folder / "no folder/searches");
          cost_of(*make_conv2d_cudnn(a.layer, context), a);
        }) != "");
}

TEST_CASE(
    "kept searches that cuDNN no longer takes are searched again, and forbidden engines are not taken") {
  const Libraries libraries;
  const testing::TemporaryFolder folder;
  const std::string file = folder / "searches";
  const Drawn drawn(plain_case, With::nothing, ActivationKind::relu, false);
  const auto engine_of = [&] {
    const auto context = open(Precision::fp32, true, file);
    const auto kernel = make_conv2d_cudnn(drawn.layer, context);
    cost_of(*kernel, drawn);
    simulated::engines_run();
    CHECK(drawn.run(*kernel, context) == "");
    return simulated::engines_run();
  };
  simulated::set_engines({{4, {}}});
  CHECK(engine_of() == std::vector<std::int64_t>{4});
  simulated::set_engines({{5, {}}});
  CHECK(engine_of() == std::vector<std::int64_t>{5});
  simulated::set_engines({{5, {CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC}}, {4, {}}});
  CHECK(engine_of() == std::vector<std::int64_t>{4});
}

TEST_CASE("convolutions leave no descriptor and no memory behind") {
  const Libraries libraries;
  const std::size_t descriptors = simulated::descriptors();
  const std::size_t memory = simulated::allocations().count;
  for_each_implementation([&](Make make, const Case& c) {
    const auto context = open(Precision::fp32, true);
    const Drawn drawn(c, With::residual, ActivationKind::hardswish, false);
    CHECK(drawn.run(*make(drawn.layer, context), context) == "");
  });
  CHECK(simulated::descriptors() == descriptors);
  CHECK(simulated::allocations().count == memory);
  CHECK(simulated::allocations().misuses.empty());
}

namespace {

// What became of asking a fresh kernel what a case costs it, while calls were made to fail.
struct Asked {
  std::optional<ErrorCode> error;
  double cost = 0;
};

// Call after call of a library, or of the runtime, is made to fail while an implementation plans: densely at
// first, then every fourth of the way. check(what came of it); afterwards the kernel is as good as new.
template <class Fail, class Failed, class Check>
void for_each_failure(bool search, Fail fail, Failed failed, Check check) {
  for_each_implementation([&](Make make, const Case& c) {
    const Drawn drawn(c, With::residual, ActivationKind::relu, false);
    bool happened = true;
    std::size_t failures = 0;
    for (std::size_t calls = 0; happened; calls += 1 + calls / 4) {
      const auto context = open(Precision::fp32, search);
      const auto kernel = make(drawn.layer, context);
      CAPTURE(str_cat(kernel->name(), ", after ", calls, " calls"));
      Asked asked;
      fail(calls);
      try {
        asked.cost = cost_of(*kernel, drawn);
      } catch (const Error& error) {
        asked.error = error.code();
      }
      happened = failed();
      simulated::stop_failing();
      simulated::fail_after(0, CUDNN_STATUS_SUCCESS);
      simulated::fail_after(0, CUBLAS_STATUS_SUCCESS);
      if (happened) check(asked);
      failures += happened;
      if (!asked.error && asked.cost == infinity) continue;  // what was refused stays so
      CHECK(cost_of(*kernel, drawn) < infinity);
      CHECK(drawn.run(*kernel, context) == "");
    }
    MESSAGE(failures, " failures");
  });
}

// A fault is told, or it was one of a recording and what was to be recorded has run without.
void check_fault(const Asked& asked) {
  if (asked.error)
    CHECK(*asked.error == ErrorCode::device);
  else
    CHECK(asked.cost < infinity);
}

}  // namespace

TEST_CASE("a fault of the device while a convolution plans is an error of its own, and no refusal") {
  const Libraries libraries;
  simulated::set_engines({{4, {}, true, true, 64}});
  simulated::set_algorithms({{4, 0, 64}});
  for (const bool search : {false, true})
    for (const bool for_good : {false, true})
      for_each_failure(
          search,
          [&](std::size_t calls) {
            simulated::fail_after(calls, for_good ? cudaErrorIllegalAddress : cudaErrorInvalidValue,
                                  for_good);
          },
          simulated::has_failed, check_fault);
}

TEST_CASE("a fault that a library tells of is an error of its own, and no refusal") {
  const Libraries libraries;
  simulated::set_engines({{4, {}, true, true, 64}});
  simulated::set_algorithms({{4, 0, 64}});
  for (const bool search : {false, true}) {
    for (const cudnnStatus_t fault : {CUDNN_STATUS_EXECUTION_FAILED_CUDA_DRIVER, CUDNN_STATUS_INTERNAL_ERROR})
      for_each_failure(
          search, [&](std::size_t calls) { simulated::fail_after(calls, fault); },
          [] { return simulated::cudnn_has_failed(); }, check_fault);
    for (const cublasStatus_t fault : {CUBLAS_STATUS_EXECUTION_FAILED, CUBLAS_STATUS_INTERNAL_ERROR})
      for_each_failure(
          search, [&](std::size_t calls) { simulated::fail_after(calls, fault); },
          [] { return simulated::cublaslt_has_failed(); }, check_fault);
  }
}

TEST_CASE("a library's refusal is none of the device's faults: another kernel may run the layer") {
  const Libraries libraries;
  const auto check_refusal = [](const Asked& asked) { CHECK(!asked.error); };
  for (const cudnnStatus_t refusal : {CUDNN_STATUS_NOT_SUPPORTED, CUDNN_STATUS_NOT_SUPPORTED_ARCH_MISMATCH,
                                      CUDNN_STATUS_BAD_PARAM, CUDNN_STATUS_INTERNAL_ERROR_COMPILATION_FAILED})
    CHECK(is_refusal(refusal));
  for (const cublasStatus_t refusal : {CUBLAS_STATUS_NOT_SUPPORTED, CUBLAS_STATUS_ARCH_MISMATCH})
    CHECK(is_refusal(refusal));
  for (const cudnnStatus_t fault :
       {CUDNN_STATUS_EXECUTION_FAILED, CUDNN_STATUS_INTERNAL_ERROR, CUDNN_STATUS_NOT_INITIALIZED})
    CHECK(!is_refusal(fault));
  for (const cublasStatus_t fault :
       {CUBLAS_STATUS_EXECUTION_FAILED, CUBLAS_STATUS_NOT_INITIALIZED, CUBLAS_STATUS_MAPPING_ERROR})
    CHECK(!is_refusal(fault));
  for (const bool search : {false, true}) {
    for_each_failure(
        search, [](std::size_t calls) { simulated::fail_after(calls, CUDNN_STATUS_NOT_SUPPORTED); },
        [] { return simulated::cudnn_has_failed(); }, check_refusal);
    for_each_failure(
        search, [](std::size_t calls) { simulated::fail_after(calls, CUBLAS_STATUS_NOT_SUPPORTED); },
        [] { return simulated::cublaslt_has_failed(); }, check_refusal);
  }
}

TEST_CASE("memory that the device lacks is no fault of it") {
  const Libraries libraries;
  for (const bool search : {false, true})
    for_each_failure(
        search, [](std::size_t calls) { simulated::fail_after(calls, cudaErrorMemoryAllocation); },
        simulated::has_failed,
        [](const Asked& asked) {
          if (asked.error) CHECK(*asked.error == ErrorCode::limit);
        });
}

}  // namespace atrous::cuda
