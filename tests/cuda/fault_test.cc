// Faults and delays of a simulated device (tests/cuda/simulation/simulation.h) on their way to whoever runs a
// network.
#include <doctest/doctest.h>

#include <functional>
#include <optional>
#include <vector>

#include "layers/graph/device.h"
#include "runtime/instances/detector.h"
#include "tests/cuda/simulation/simulation.h"
#include "tests/support/runtime_testing.h"

namespace atrous::fault_test {

using namespace atrous::runtime_testing;

extern "C" const DeviceModule* atrous_cuda_module();

namespace {

std::optional<ErrorCode> code_of_failure(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.code();
  }
  return std::nullopt;
}

}  // namespace

TEST_CASE("a fault of the device ends a run with an error of its own, wherever it strikes") {
  const Tensor input = noise({1, 9, 12, 3});
  std::vector<float> expected;
  std::vector<std::uint8_t> labels(9 * 12);
  for (const bool for_good : {true, false}) {
    bool happened = true;
    for (std::size_t calls = 0; happened; calls += 1 + calls / 2) {
      CAPTURE(calls);
      const Model model = tiny_model("fcn", {.device = atrous_cuda_module()->open({})});
      Session session(model.program);
      std::vector<float> found;
      simulated::fail_after(calls, cudaErrorIllegalAddress, for_good);
      const auto code = code_of_failure([&] {
        for (int repetition = 0; repetition < 3; ++repetition)
          found = run(session, input.view());  // the last
        session.label(0, 9, 12, labels, {});   // are recorded and replayed
      });
      happened = simulated::has_failed();
      simulated::stop_failing();
      if (code) CHECK(*code == ErrorCode::device);
      if (for_good) CHECK(code.has_value() == happened);
      if (expected.empty()) expected = run(session, input.view());
      if (!code) CHECK(same_bits(found, expected));
      CHECK(same_bits(run(session, input.view()), expected));
    }
  }
}

namespace {

constexpr InstanceOptions few{.score = 0.0F, .detections = 5, .sides = BoundedSides{32, 64, false}};

Model two_stages(const char* name) {
  return make_model(seeded_state(name, {.classes = 4, .width = 4}), std::nullopt,
                    {.device = atrous_cuda_module()->open({})});
}

struct Deferred {
  Deferred() { simulated::set_deferred(true); }
  ~Deferred() { simulated::set_deferred(false); }
};

bool same(const Instances& a, const Instances& b) {
  return std::ranges::equal(a.found, b.found, [](const Instance& one, const Instance& other) {
    return one.box == other.box && one.label == other.label && same_bits({one.score}, {other.score}) &&
           same_bits(one.mask, other.mask);
  });
}

}  // namespace

TEST_CASE("however late a device does its work, no graph of two stages begins before its maps are there") {
  for (const char* name : {"maskrcnn_resnet(1,1,1,1)_fpn", "maskrcnn_resnet(1,1,1,1)_fpn_v2"}) {
    CAPTURE(std::string(name));
    const Model model = two_stages(name);
    const Instances expected = Detector(model).detect(photo(40, 50), few);
    REQUIRE(expected.found.size() == 5);
    const Deferred deferred;
    Detector late(model);
    for (int repetition = 0; repetition < 3; ++repetition)  // the last are recorded and replayed
      CHECK(same(late.detect(photo(40, 50), few), expected));
  }
}

TEST_CASE(
    "a fault of the device ends the search for instances with an error of its own, wherever it strikes") {
  const Model model = two_stages("maskrcnn_resnet(1,1,1,1)_fpn_v2");
  const Instances expected = Detector(model).detect(photo(40, 50), few);
  bool happened = true;
  for (std::size_t calls = 0; happened; calls += 1 + calls / 2) {
    CAPTURE(calls);
    Detector detector(model);
    Instances found;
    simulated::fail_after(calls, cudaErrorIllegalAddress, true);
    const auto code = code_of_failure([&] { found = detector.detect(photo(40, 50), few); });
    happened = simulated::has_failed();
    simulated::stop_failing();
    CHECK(code == (happened ? std::optional(ErrorCode::device) : std::nullopt));
    if (!code) CHECK(same(found, expected));
    CHECK(same(detector.detect(photo(40, 50), few), expected));
  }
}

TEST_CASE("a fault of the device while a network is loaded is an error of its own") {
  bool happened = true;
  for (std::size_t calls = 0; happened; calls += 1 + calls / 4) {
    CAPTURE(calls);
    simulated::fail_after(calls, cudaErrorIllegalAddress, true);
    const auto code = code_of_failure(
        [] { Session(tiny_model("fcn", {.device = atrous_cuda_module()->open({})}).program); });
    happened = simulated::has_failed();
    simulated::stop_failing();
    CHECK(code == (happened ? std::optional(ErrorCode::device) : std::nullopt));
  }
}

}  // namespace atrous::fault_test
