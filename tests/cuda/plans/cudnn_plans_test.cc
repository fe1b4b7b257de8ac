// The real cuDNN, without a device: it plans for one that is described to it (CUDNN_BACKEND_DEVICEPROP_
// DESCRIPTOR), here a GPU of compute capability 9.0. So it checks every attribute that our graphs set, and
// tells which engines it has for them. Nothing is run.
//
// cuDNN wants a driver's library to be there all the same; without one the toolkit's stub serves.
#include <dlfcn.h>
#include <doctest/doctest.h>

#include "layers/cuda/conv/conv2d_graph.h"

namespace atrous::cuda {

namespace {

constexpr std::string_view hopper = R"({"deviceVer": 900, "driverVer": 13000, "cudaDeviceId": 0,
  "deviceName": "NVIDIA H200", "totalGlobalMem": 150000000000, "maxGridSize": [2147483647, 65535, 65535],
  "maxBlockSize": [1024, 1024, 64], "regsPerBlock": 65536, "multiProcessorCount": 132, "warpSize": 32,
  "maxSharedMemoryPerBlock": 49152, "maxSharedMemoryPerBlockOptin": 232448,
  "reservedSharedMemoryPerBlock": 1024, "maxRegistersPerSM": 65536, "maxCtasPerSM": 32,
  "maxThreadsPerBlock": 1024, "maxThreadsPerSM": 2048, "pciDeviceId": 0, "isTccDriver": 0,
  "supportCoopLaunch": 1, "smClockRateKHz": 1980000, "memClockRateKHz": 3201000, "l2CacheSize": 62914560})";

struct Case {
  const char* name;
  Shape in;
  std::int64_t outputs, kernel, stride = 1, padding = 0, dilation = 1, groups = 1;
};

// Of the networks, at 520 x 520.
const std::vector<Case> cases{{"3x3", {1, 65, 65, 256}, 256, 3, 1, 1},
                              {"3x3 dilation 12", {1, 65, 65, 2048}, 256, 3, 1, 12, 12},
                              {"3x3 dilation 24", {1, 65, 65, 2048}, 256, 3, 1, 24, 24},
                              {"3x3 dilation 36", {1, 65, 65, 2048}, 256, 3, 1, 36, 36},
                              {"3x3 stride 2, 8 images", {8, 130, 130, 128}, 128, 3, 2, 1},
                              {"7x7 stride 2", {1, 520, 520, 3}, 64, 7, 2, 3},
                              {"1x1", {1, 65, 65, 1024}, 256, 1},
                              {"1x1 to 21 classes", {1, 65, 65, 256}, 21, 1},
                              {"1x1 of one pixel", {1, 1, 1, 2048}, 256, 1},
                              {"3x3 of 32 groups", {1, 65, 65, 256}, 256, 3, 1, 1, 1, 32}};

Conv2d layer_of(const Case& c, ActivationKind kind) {
  return {.weight = {c.outputs, c.in.c / c.groups, c.kernel, c.kernel, nullptr},
          .bias = nullptr,
          .stride = c.stride,
          .padding = c.padding,
          .dilation = c.dilation,
          .groups = c.groups,
          .activation = kind};
}

Conv2dProblem problem_of(const Case& c, const Conv2d& layer, Conv2dProblem::Residual residual) {
  return {c.in, output_shape(layer, c.in), residual};
}

bool has_driver() {
  for (const char* library : {"libcuda.so.1", ATROUS_CUDA_STUBS "/libcuda.so"})
    if (dlopen(library, RTLD_NOW | RTLD_GLOBAL)) return true;
  return false;
}

// How many of the engines advised in the mode are allowed and become plans.
int plans(const Planner& planner, const Descriptor& graph, Precision precision, cudnnBackendHeurMode_t mode) {
  int count = 0;
  std::string why;
  for (const EngineConfig& config : advise(planner, graph, mode)) {
    if (!is_allowed(config, precision)) continue;
    const auto plan = make_plan(planner, config, why);
    if (!plan || plan->workspace_bytes > (std::size_t{256} << 20)) continue;
    ++count;
    // The same once more, as from the file of a search.
    const EngineChoice choice = choice_of(config);
    CHECK(parse_engine_choice(to_text(choice)) == choice);
    const auto again = configure(planner, graph, choice);
    REQUIRE(again.has_value());
    CHECK(choice_of(*again) == choice);
    CHECK(again->notes == config.notes);
  }
  return count;
}

}  // namespace

TEST_CASE("cuDNN takes the graphs of all kinds of convolutions, whatever there is to plan for") {
  for (const Case& c : cases)
    for (const auto residual :
         {Conv2dProblem::Residual::none, Conv2dProblem::Residual::map, Conv2dProblem::Residual::pixel})
      for (const ActivationKind kind : {ActivationKind::none, ActivationKind::relu, ActivationKind::relu6,
                                        ActivationKind::hardswish, ActivationKind::sigmoid})
        for (const Precision precision : {Precision::fp32, Precision::fp16}) {
          const Conv2d layer = layer_of(c, kind);
          const Conv2dProblem p = problem_of(c, layer, residual);
          CAPTURE(describe(layer, p, precision));
          CHECK_NOTHROW(make_graph({}, layer, p, full_fusion(layer, p), precision));
          CHECK_NOTHROW(make_graph({}, layer, p, {}, precision));
        }
}

TEST_CASE("cuDNN says what is wrong with a graph") {
  const Conv2d layer = layer_of(cases[0], ActivationKind::relu);
  Conv2dProblem p = problem_of(cases[0], layer, Conv2dProblem::Residual::none);
  p.out.h += 1;
  CHECK_THROWS_AS(make_graph({}, layer, p, full_fusion(layer, p), Precision::fp32), Error);
  CHECK_THROWS_AS(make_device("{}"), Error);
}

TEST_CASE("for an H200 cuDNN advises allowed engines for each convolution with bias, residual and relu") {
  if (!has_driver()) {
    MESSAGE("skipped: no driver's library, and no stub in " ATROUS_CUDA_STUBS);
    return;
  }
  const Descriptor device = make_device(hopper);
  const Planner planner{nullptr, &device};
  for (const Case& c : cases)
    for (const auto residual : {Conv2dProblem::Residual::none, Conv2dProblem::Residual::map})
      for (const Precision precision : {Precision::fp32, Precision::tf32, Precision::fp16}) {
        const Conv2d layer = layer_of(c, ActivationKind::relu);
        const Conv2dProblem p = problem_of(c, layer, residual);
        CAPTURE(describe(layer, p, precision));
        const Descriptor graph = make_graph(planner, layer, p, full_fusion(layer, p), precision);
        CHECK(plans(planner, graph, precision, CUDNN_HEUR_MODE_A) > 0);
      }
}

TEST_CASE(
    "for an H200 a convolution alone always has an advised engine, so that any activation may follow it") {
  if (!has_driver()) {
    MESSAGE("skipped: no driver's library, and no stub in " ATROUS_CUDA_STUBS);
    return;
  }
  const Descriptor device = make_device(hopper);
  const Planner planner{nullptr, &device};
  for (const Case& c : cases)
    for (const Precision precision : {Precision::fp32, Precision::tf32, Precision::fp16}) {
      const Conv2d layer = layer_of(c, ActivationKind::relu6);
      const Conv2dProblem p = problem_of(c, layer, Conv2dProblem::Residual::none);
      CAPTURE(describe(layer, p, precision));
      CHECK(plans(planner, make_graph(planner, layer, p, {}, precision), precision, CUDNN_HEUR_MODE_A) > 0);
    }
}

}  // namespace atrous::cuda
