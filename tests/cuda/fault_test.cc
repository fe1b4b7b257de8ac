// Faults of a simulated device (tests/cuda/simulation/simulation.h) on their way to whoever runs a network.
#include <doctest/doctest.h>

#include <functional>
#include <optional>
#include <vector>

#include "layers/graph/device.h"
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
