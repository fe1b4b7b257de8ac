#include "layers/graph/state_dict.h"

#include <doctest/doctest.h>

#include "tests/support/layers_testing.h"

namespace atrous::state_dict_test {

namespace {

template <class T>
StateTensor tensor(DType type, const std::vector<T>& values, std::vector<std::int64_t> shape = {}) {
  if (shape.empty()) shape = {static_cast<std::int64_t>(values.size())};
  const auto owner = std::make_shared<const std::vector<T>>(values);
  return {type, std::move(shape), {owner, reinterpret_cast<const std::byte*>(owner->data())}};
}

template <class T>
std::vector<float> floats(DType type, const std::vector<T>& values) {
  const auto converted = to_float(tensor(type, values));
  return {converted.get(), converted.get() + values.size()};
}

constexpr float infinity = std::numeric_limits<float>::infinity();

}  // namespace

TEST_CASE("fp32 values are shared and not copied") {
  const StateTensor t = tensor<float>(DType::f32, {1.5f, -2, 0.1f});
  const auto values = to_float(t);
  CHECK(static_cast<const void*>(values.get()) == static_cast<const void*>(t.data.get()));
  CHECK(t.data.use_count() == 2);
  CHECK(values.get()[2] == 0.1f);
}

TEST_CASE("half precision becomes fp32 exactly: normals, subnormals, zeros, infinities") {
  CHECK(floats<std::uint16_t>(DType::f16, {0x3c00, 0xc000, 0x3555, 0x7bff, 0xfbff, 0x0400, 0x03ff, 0x0001,
                                           0x8001, 0x7c00, 0xfc00, 0x0000}) ==
        std::vector<float>{1, -2, 0x1.554p-2f, 65504, -65504, 0x1p-14f, 0x1.ff8p-15f, 0x1p-24f, -0x1p-24f,
                           infinity, -infinity, 0});
  CHECK(std::signbit(floats<std::uint16_t>(DType::f16, {0x8000})[0]));
  CHECK(std::isnan(floats<std::uint16_t>(DType::f16, {0x7e00})[0]));
  CHECK(std::isnan(floats<std::uint16_t>(DType::f16, {0x7c01})[0]));
}

TEST_CASE("every half precision value is its fraction times its power of two") {
  for (std::uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const int exponent = static_cast<int>(bits >> 10), fraction = static_cast<int>(bits & 0x3ff);
    const double value =
        exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
    const auto found = floats<std::uint16_t>(
        DType::f16, {static_cast<std::uint16_t>(bits), static_cast<std::uint16_t>(bits | 0x8000)});
    if (static_cast<double>(found[0]) != value || static_cast<double>(found[1]) != -value) {
      CAPTURE(bits);
      CHECK(static_cast<double>(found[0]) == value);
      CHECK(static_cast<double>(found[1]) == -value);
    }
  }
}

TEST_CASE("bfloat16 becomes fp32 exactly") {
  CHECK(floats<std::uint16_t>(DType::bf16, {0x3f80, 0xc040, 0x0001, 0x7f80, 0xff80, 0x7f7f}) ==
        std::vector<float>{1, -3, 0x1p-133f, infinity, -infinity, 0x1.fep127f});
  CHECK(std::isnan(floats<std::uint16_t>(DType::bf16, {0x7fc0})[0]));
}

TEST_CASE("fp64 rounds to the nearest fp32") {
  CHECK(floats<double>(DType::f64, {0.1, 1 + 0x1p-24, 1 + 0x1.8p-24, -1e300, 1e-60}) ==
        std::vector<float>{0.1f, 1, 1 + 0x1p-23f, -infinity, 0});
}

TEST_CASE("integers and booleans become fp32") {
  CHECK(floats<std::uint8_t>(DType::boolean, {0, 1}) == std::vector<float>{0, 1});
  CHECK(floats<std::uint8_t>(DType::u8, {0, 255}) == std::vector<float>{0, 255});
  CHECK(floats<std::int8_t>(DType::i8, {-128, 127}) == std::vector<float>{-128, 127});
  CHECK(floats<std::int16_t>(DType::i16, {-32768, 32767}) == std::vector<float>{-32768, 32767});
  CHECK(floats<std::int32_t>(DType::i32, {-16777216, 16777215}) == std::vector<float>{-16777216, 16777215});
  CHECK(floats<std::int64_t>(DType::i64, {-1, std::int64_t{1} << 40}) == std::vector<float>{-1, 0x1p40f});
}

TEST_CASE("every dtype has a size and the name that safetensors gives it") {
  struct Expected {
    DType type;
    std::size_t size;
    std::string_view name;
  };
  for (const Expected& expected :
       {Expected{DType::boolean, 1, "BOOL"}, Expected{DType::u8, 1, "U8"}, Expected{DType::i8, 1, "I8"},
        Expected{DType::i16, 2, "I16"}, Expected{DType::i32, 4, "I32"}, Expected{DType::i64, 8, "I64"},
        Expected{DType::f16, 2, "F16"}, Expected{DType::bf16, 2, "BF16"}, Expected{DType::f32, 4, "F32"},
        Expected{DType::f64, 8, "F64"}}) {
    CAPTURE(expected.name);
    CHECK(size_of(expected.type) == expected.size);
    CHECK(name_of(expected.type) == expected.name);
  }
}

TEST_CASE("a state tensor without dimensions has one element") {
  const auto value = std::make_shared<const std::int64_t>(42);
  const StateTensor t{DType::i64, {}, {value, reinterpret_cast<const std::byte*>(value.get())}};
  CHECK(t.elements() == 1);
  CHECK(t.bytes().size() == 8);
  CHECK(to_float(t).get()[0] == 42);
  CHECK(shape_text(t.shape) == "[]");
}

TEST_CASE("a shape whose elements or bytes overflow is an error") {
  const std::int64_t root = std::int64_t{1} << 32;
  CHECK(error_of(ErrorCode::limit, [&] { StateTensor{DType::u8, {root, root}, {}}.elements(); }) != "");
  CHECK(error_of(ErrorCode::limit, [&] { StateTensor{DType::f32, {-1}, {}}.elements(); }) != "");
  CHECK(error_of(ErrorCode::limit, [&] { StateTensor{DType::f64, {root, root / 4}, {}}.bytes(); }) != "");
}

TEST_CASE("shapes are written as torch writes them") {
  const std::int64_t four[] = {21, 512, 1, 1}, one[] = {7};
  CHECK(shape_text(four) == "[21, 512, 1, 1]");
  CHECK(shape_text(one) == "[7]");
}

TEST_CASE("a state dict finds by name, keeps the file's order and refuses a name twice") {
  StateDict state;
  CHECK(state.find("a") == nullptr);
  const std::vector<std::string> names = {"z.weight", "a", "m.bias", "z", "z.weight.x"};
  for (const std::string& name : names) state.add(name, tensor<float>(DType::f32, {1}));
  CHECK(state.size() == names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    CHECK(state.entries()[i].first == names[i]);
    CHECK(state.find(names[i]) == &state.entries()[i].second);
  }
  CHECK(state.find("z.weigh") == nullptr);
  CHECK(state.find("") == nullptr);
  const std::string sentence =
      error_of(ErrorCode::malformed, [&] { state.add("m.bias", tensor<float>(DType::f32, {2})); });
  CHECK(contains(sentence, "m.bias"));
  CHECK(state.size() == names.size());
  CHECK(to_float(*state.find("m.bias")).get()[0] == 1);
}

TEST_CASE("a state dict has a module where a key is its name or begins with it and a dot") {
  StateDict state;
  for (const char* key : {"a.bc.weight", "a.b-.weight", "layer1.10.weight", "layer1.2.weight", "scale"})
    state.add(key, tensor<float>(DType::f32, {1}));
  for (const char* module :
       {"a", "a.bc", "a.bc.weight", "a.b-", "layer1", "layer1.10", "layer1.2", "scale"}) {
    CAPTURE(std::string(module));
    CHECK(state.has(module));
  }
  for (const char* module :
       {"a.b", "b", "a.bc.weigh", "layer1.1", "layer", "layer1.2.weight.x", "scale.0", "z"}) {
    CAPTURE(std::string(module));
    CHECK(!state.has(module));
  }
  CHECK(state.index_of("layer1.10.weight") == 2);
  CHECK(state.index_of("layer1") == state.size());
}

}  // namespace atrous::state_dict_test
