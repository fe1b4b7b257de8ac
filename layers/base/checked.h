// Arithmetic on sizes that cannot overflow unnoticed. Every product of dimensions goes through here.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string_view>
#include <utility>

#include "layers/base/error.h"

namespace atrous {

// a * b, or Error(limit) naming `what` and both factors.
template <std::integral T>
T checked_multiply(T a, T b, std::string_view what) {
  T product;
  if (__builtin_mul_overflow(a, b, &product)) fail(ErrorCode::limit, what, ": ", a, " x ", b, " overflows");
  return product;
}

// a + b, or Error(limit) naming `what` and both terms.
template <std::integral T>
T checked_add(T a, T b, std::string_view what) {
  T sum;
  if (__builtin_add_overflow(a, b, &sum)) fail(ErrorCode::limit, what, ": ", a, " + ", b, " overflows");
  return sum;
}

// The product of non-negative dimensions as an int64, factor by factor. A negative one is Error(limit). So
// is, where addresses have 32 bits, a product that as doubles would fill all of them.
template <class Range>
std::int64_t checked_product(const Range& dims, std::string_view what) {
  std::int64_t product = 1;
  for (std::int64_t d : dims) {
    if (d < 0) fail(ErrorCode::limit, what, ": negative dimension ", d);
    product = checked_multiply(product, d, what);
  }
  if constexpr (sizeof(std::size_t) < sizeof(std::int64_t)) {
    constexpr std::int64_t most = std::numeric_limits<std::size_t>::max() / sizeof(double);
    if (product > most)
      fail(ErrorCode::limit, what, ": ", product, " is more than the ", most,
           " that addresses of 32 bits reach");
  }
  return product;
}
inline std::int64_t checked_product(std::initializer_list<std::int64_t> dims, std::string_view what) {
  return checked_product<std::initializer_list<std::int64_t>>(dims, what);
}

// Quotient and multiple rounded up, of sizes whose products are known to fit.
constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
constexpr std::int64_t round_up(std::int64_t a, std::int64_t b) { return divide_up(a, b) * b; }

// A value as another integer type, or Error(limit) if it does not fit.
template <std::integral To, std::integral From>
To checked_cast(From value, std::string_view what) {
  if (!std::in_range<To>(value)) fail(ErrorCode::limit, what, ": ", value, " is out of range");
  return static_cast<To>(value);
}

}  // namespace atrous
