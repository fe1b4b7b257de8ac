#include "layers/base/tensor.h"

#include <doctest/doctest.h>

#include "layers/base/checked.h"
#include "tests/support/layers_testing.h"

namespace atrous::tensor_test {

TEST_CASE("tensors are channels last: element (n, y, x, c) lies at ((n * h + y) * w + x) * pitch + c") {
  Tensor t({2, 3, 4, 5});
  for (std::size_t i = 0; i < t.values().size(); ++i) t.values()[i] = static_cast<float>(i);
  CHECK(t.view().dense());
  CHECK(t.view().at(1, 2, 3, 4) == ((1 * 3 + 2) * 4 + 3) * 5 + 4);
  CHECK(t.view().pixel(1, 0, 2) == t.data() + (3 * 4 + 2) * 5);
}

TEST_CASE("a slice of channels shares the memory of the wider tensor") {
  Tensor t = Tensor::zeros({1, 2, 2, 6});
  const View slice = channels(t.view(), 2, 3);
  CHECK(slice.shape == Shape{1, 2, 2, 3});
  CHECK(slice.pitch == 6);
  CHECK(!slice.dense());
  slice.at(0, 1, 0, 2) = 7;
  CHECK(t.view().at(0, 1, 0, 4) == 7);
  const ConstView inner = channels(ConstView(slice), 1, 1);
  CHECK(inner.at(0, 1, 0, 0) == 0);
  CHECK(inner.data == t.data() + 3);
  CHECK(inner.pitch == 6);
}

TEST_CASE("zeros are zeros, and memory is aligned to 64 bytes") {
  for (std::int64_t c : {1, 3, 17, 1000}) {
    const Tensor t = Tensor::zeros({1, 3, 5, c});
    CHECK(std::ranges::all_of(t.values(), [](float v) { return v == 0; }));
    CHECK(reinterpret_cast<std::uintptr_t>(t.data()) % 64 == 0);
  }
  CHECK(Buffer().data() == nullptr);
  CHECK(Buffer(0).size() == 0);
}

TEST_CASE("a tensor needs every dimension to be at least 1") {
  for (const Shape& s :
       {Shape{0, 1, 1, 1}, Shape{1, 0, 1, 1}, Shape{1, 1, -1, 1}, Shape{1, 1, 1, 0}, Shape{}}) {
    const std::string sentence = error_of(ErrorCode::limit, [&] { checked_elements(s); });
    CHECK(contains(sentence, str_cat(s)));
    CHECK(contains(sentence, "not positive"));
    CHECK(error_of(ErrorCode::limit, [&] { Tensor t(s); }) == sentence);
  }
}

TEST_CASE("sizes that overflow are an error and not a small tensor") {
  constexpr std::int64_t huge = std::numeric_limits<std::int64_t>::max(), root = std::int64_t{1} << 32;
  CHECK(checked_elements({2, 3, 4, 5}) == 120);
  CHECK(checked_elements({1, 1, 1, huge / 4}) == huge / 4);
  for (const Shape& s :
       {Shape{1, 1, 1, huge / 4 + 1}, Shape{root, root, 1, 1}, Shape{1, root, 1, root}, Shape{huge, 2, 1, 1},
        Shape{root, root, root, root}, Shape{1, std::int64_t{1} << 31, std::int64_t{1} << 31, 2}}) {
    CAPTURE(s);
    CHECK(contains(error_of(ErrorCode::limit, [&] { checked_elements(s); }), "overflow"));
    CHECK(error_of(ErrorCode::limit, [&] { Tensor t(s); }) != "");
  }
}

TEST_CASE("checked arithmetic names what overflows and both numbers") {
  constexpr std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  CHECK(checked_multiply<std::int64_t>(3, 4, "x") == 12);
  CHECK(checked_add(huge - 1, std::int64_t{1}, "x") == huge);
  const auto product = error_of(ErrorCode::limit, [&] { checked_multiply<std::int64_t>(huge, 2, "rows"); });
  CHECK(product == str_cat("rows: ", huge, " x 2 overflows"));
  CHECK(error_of(ErrorCode::limit, [&] { checked_add<std::int64_t>(huge, 1, "rows"); }) ==
        str_cat("rows: ", huge, " + 1 overflows"));
  CHECK(contains(error_of(ErrorCode::limit, [&] { checked_multiply<std::size_t>(1ull << 63, 2, "bytes"); }),
                 "bytes"));

  CHECK(checked_product({}, "x") == 1);
  CHECK(checked_product({2, 0, huge}, "x") == 0);
  CHECK(contains(error_of(ErrorCode::limit, [] { checked_product({2, -3}, "dims"); }), "-3"));
  CHECK(error_of(ErrorCode::limit, [] { checked_product({huge, huge, 0}, "dims"); }) != "");

  CHECK(checked_cast<std::uint8_t>(255, "label") == 255);
  CHECK(contains(error_of(ErrorCode::limit, [] { checked_cast<std::uint8_t>(256, "label"); }), "256"));
  CHECK(error_of(ErrorCode::limit, [] { checked_cast<std::size_t>(-1, "label"); }) != "");
}

TEST_CASE("an error says what failed in a sentence and why in a code") {
  try {
    fail(ErrorCode::mismatch, "expected ", 3, ", found ", std::string("four"));
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::mismatch);
    CHECK(std::string(error.what()) == "expected 3, found four");
  }
}

}  // namespace atrous::tensor_test
