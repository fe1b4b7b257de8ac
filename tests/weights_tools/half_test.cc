#include <bit>
#include <cmath>
#include <limits>

#include "tests/support/weights_helpers.h"
#include "weights_tools/half.h"

namespace atrous::half_test {

using namespace atrous::weights_testing;

namespace {

StateTensor floats_of(std::vector<float> values) {
  auto owner = std::make_shared<std::vector<float>>(std::move(values));
  const auto* data = reinterpret_cast<const std::byte*>(owner->data());
  return {
      DType::f32, {static_cast<std::int64_t>(owner->size())}, std::shared_ptr<const std::byte>(owner, data)};
}

float from_half(std::uint16_t half) {
  const StateTensor one{
      DType::f16, {1}, {reinterpret_cast<const std::byte*>(&half), [](const std::byte*) {}}};
  return to_float(one).get()[0];
}

}  // namespace

TEST_CASE("every half comes back from its float") {
  for (std::uint32_t bits = 0; bits <= 0xffffu; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float value = from_half(half);
    if (std::isnan(value))
      CHECK(std::isnan(from_half(to_half(value))));
    else if (to_half(value) != half)
      FAIL("half ", bits, " became ", to_half(value));
  }
}

TEST_CASE("a float between two halves takes the nearer, in the middle the even one") {
  for (std::uint32_t bits = 0; bits < 0x7bffu; ++bits) {
    const float low = from_half(static_cast<std::uint16_t>(bits)),
                high = from_half(static_cast<std::uint16_t>(bits + 1));
    const float middle = low + (high - low) / 2;  // exact: one bit more than a half has
    const std::uint32_t even = bits % 2 ? bits + 1 : bits;
    const float infinity = std::numeric_limits<float>::infinity();
    const bool right = to_half(middle) == even && to_half(std::nextafter(middle, 0.f)) == bits &&
                       to_half(std::nextafter(middle, infinity)) == bits + 1 &&
                       to_half(-middle) == (even | 0x8000u);
    if (!right) FAIL("around half ", bits);
  }
  CHECK(to_half(65504.f) == 0x7bff);
  CHECK(to_half(65519.996f) == 0x7bff);
  CHECK(to_half(65520.f) == 0x7c00);
  CHECK(to_half(1e30f) == 0x7c00);
  CHECK(to_half(-std::numeric_limits<float>::infinity()) == 0xfc00);
  CHECK(to_half(std::numeric_limits<float>::denorm_min()) == 0);
  CHECK(to_half(-1e-30f) == 0x8000);
}

TEST_CASE("in half precision fp32 tensors are rounded, all else stays as it is") {
  StateDict state;
  state.add("weight", floats_of({1.f, 0.1f, -2.5e-7f}));
  const std::int64_t batches = 7;
  state.add("num_batches_tracked",
            {DType::i64, {}, {reinterpret_cast<const std::byte*>(&batches), [](const std::byte*) {}}});
  const StateDict half = in_half_precision(state);
  const StateTensor& weight = *half.find("weight");
  CHECK(weight.dtype == DType::f16);
  CHECK(weight.shape == std::vector<std::int64_t>{3});
  CHECK(to_float(weight).get()[0] == 1.f);
  CHECK(to_float(weight).get()[1] == 0.0999755859375f);
  CHECK(to_float(weight).get()[2] == -4 * 0x1p-24f);
  CHECK(half.find("num_batches_tracked")->dtype == DType::i64);
  CHECK(half.find("num_batches_tracked")->data.get() == reinterpret_cast<const std::byte*>(&batches));
}

TEST_CASE("a value that no half can hold is refused by name; infinities and NaN are kept") {
  StateDict state;
  state.add("bn1.running_var", floats_of({1.f, 70000.f}));
  check_refused([&] { in_half_precision(state); }, ErrorCode::unsupported,
                "bn1.running_var: the value 70000");
  StateDict odd;
  odd.add("w", floats_of({std::numeric_limits<float>::infinity(), std::nanf("")}));
  const StateDict kept = in_half_precision(odd);
  CHECK(std::isinf(to_float(*kept.find("w")).get()[0]));
  CHECK(std::isnan(to_float(*kept.find("w")).get()[1]));
}

}  // namespace atrous::half_test
