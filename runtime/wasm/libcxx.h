// What C++20 has in <algorithm> and <bit>, and emscripten 3.1.6's standard library, libc++ 13, has not yet.
// Every source is compiled with this before it (runtime/wasm/headers.cmake), so that nothing else of the
// library knows. Names that a later libc++ has are its own: this file is then empty. Definitions: the
// standard, [algorithms].
#pragma once

#include <algorithm>
#include <bit>
#include <functional>
#include <iterator>
#include <type_traits>
#include <utility>

#if defined(_LIBCPP_VERSION) && _LIBCPP_VERSION < 14000

namespace std {

template <class To, class From>
constexpr To bit_cast(const From& from) noexcept {
  return __builtin_bit_cast(To, from);
}

namespace ranges {

// The algorithms on whole ranges: the classic ones, with a projection before every comparison.
namespace atrous_classic {

template <class Compare, class First, class Second>
auto projected(Compare& compare, First& first, Second& second) {
  return [&](auto&& a, auto&& b) {
    return std::invoke(compare, std::invoke(first, std::forward<decltype(a)>(a)),
                       std::invoke(second, std::forward<decltype(b)>(b)));
  };
}

template <class Test, class Projection>
auto projected(Test& test, Projection& projection) {
  return [&](auto&& a) { return std::invoke(test, std::invoke(projection, std::forward<decltype(a)>(a))); };
}

}  // namespace atrous_classic

using std::identity;

template <class In, class Out>
struct in_out_result {
  In in;
  Out out;
};
template <class A, class B>
struct in_in_result {
  A in1;
  B in2;
};

template <class Range, class Value, class Projection = identity>
constexpr auto find(Range&& range, const Value& value, Projection projection = {}) {
  return std::find_if(std::begin(range), std::end(range),
                      [&](auto&& x) { return std::invoke(projection, x) == value; });
}
template <class Range, class Test, class Projection = identity>
constexpr auto find_if(Range&& range, Test test, Projection projection = {}) {
  return std::find_if(std::begin(range), std::end(range), atrous_classic::projected(test, projection));
}
template <class Range, class Test, class Projection = identity>
constexpr bool all_of(Range&& range, Test test, Projection projection = {}) {
  return std::all_of(std::begin(range), std::end(range), atrous_classic::projected(test, projection));
}
template <class Range, class Test, class Projection = identity>
constexpr bool any_of(Range&& range, Test test, Projection projection = {}) {
  return std::any_of(std::begin(range), std::end(range), atrous_classic::projected(test, projection));
}
template <class Range, class Test, class Projection = identity>
constexpr bool none_of(Range&& range, Test test, Projection projection = {}) {
  return std::none_of(std::begin(range), std::end(range), atrous_classic::projected(test, projection));
}
template <class Range, class Value, class Projection = identity>
constexpr auto count(Range&& range, const Value& value, Projection projection = {}) {
  return std::count_if(std::begin(range), std::end(range),
                       [&](auto&& x) { return std::invoke(projection, x) == value; });
}
template <class Range, class Test, class Projection = identity>
constexpr auto count_if(Range&& range, Test test, Projection projection = {}) {
  return std::count_if(std::begin(range), std::end(range), atrous_classic::projected(test, projection));
}
template <class Range, class Compare = equal_to, class Projection = identity>
constexpr auto adjacent_find(Range&& range, Compare compare = {}, Projection projection = {}) {
  return std::adjacent_find(std::begin(range), std::end(range),
                            atrous_classic::projected(compare, projection, projection));
}

template <class Range, class Compare = less, class Projection = identity>
constexpr auto sort(Range&& range, Compare compare = {}, Projection projection = {}) {
  std::sort(std::begin(range), std::end(range), atrous_classic::projected(compare, projection, projection));
  return std::end(range);
}
template <class Range, class Compare = less, class Projection = identity>
auto stable_sort(Range&& range, Compare compare = {}, Projection projection = {}) {
  std::stable_sort(std::begin(range), std::end(range),
                   atrous_classic::projected(compare, projection, projection));
  return std::end(range);
}
template <class Range, class Iterator, class Compare = less, class Projection = identity>
constexpr auto partial_sort(Range&& range, Iterator middle, Compare compare = {},
                            Projection projection = {}) {
  std::partial_sort(std::begin(range), middle, std::end(range),
                    atrous_classic::projected(compare, projection, projection));
  return std::end(range);
}
template <class Range, class Iterator, class Compare = less, class Projection = identity>
constexpr auto nth_element(Range&& range, Iterator nth, Compare compare = {}, Projection projection = {}) {
  std::nth_element(std::begin(range), nth, std::end(range),
                   atrous_classic::projected(compare, projection, projection));
  return std::end(range);
}

template <class Range, class Value, class Compare = less, class Projection = identity>
constexpr auto lower_bound(Range&& range, const Value& value, Compare compare = {},
                           Projection projection = {}) {
  return std::lower_bound(std::begin(range), std::end(range), value, [&](auto&& element, auto&& v) {
    return std::invoke(compare, std::invoke(projection, element), v);
  });
}
template <class Range, class Value, class Compare = less, class Projection = identity>
constexpr auto upper_bound(Range&& range, const Value& value, Compare compare = {},
                           Projection projection = {}) {
  return std::upper_bound(std::begin(range), std::end(range), value, [&](auto&& v, auto&& element) {
    return std::invoke(compare, v, std::invoke(projection, element));
  });
}
template <class Range, class Value, class Compare = less, class Projection = identity>
constexpr bool binary_search(Range&& range, const Value& value, Compare compare = {},
                             Projection projection = {}) {
  const auto at = ranges::lower_bound(range, value, compare, projection);
  return at != std::end(range) && !std::invoke(compare, value, std::invoke(projection, *at));
}
template <class A, class B, class Compare = less>
constexpr bool includes(A&& a, B&& b, Compare compare = {}) {
  return std::includes(std::begin(a), std::end(a), std::begin(b), std::end(b), compare);
}

template <class Range, class Compare = less, class Projection = identity>
constexpr auto max_element(Range&& range, Compare compare = {}, Projection projection = {}) {
  return std::max_element(std::begin(range), std::end(range),
                          atrous_classic::projected(compare, projection, projection));
}
template <class Range, class Compare = less, class Projection = identity>
constexpr auto min_element(Range&& range, Compare compare = {}, Projection projection = {}) {
  return std::min_element(std::begin(range), std::end(range),
                          atrous_classic::projected(compare, projection, projection));
}
template <class Range, class Compare = less, class Projection = identity>
constexpr auto max(Range&& range, Compare compare = {}, Projection projection = {}) {
  return *ranges::max_element(range, compare, projection);
}

template <class A, class B, class Compare = equal_to, class First = identity, class Second = identity>
constexpr bool equal(A&& a, B&& b, Compare compare = {}, First first = {}, Second second = {}) {
  return std::equal(std::begin(a), std::end(a), std::begin(b), std::end(b),
                    atrous_classic::projected(compare, first, second));
}
template <class A, class B, class Compare = equal_to, class First = identity, class Second = identity>
constexpr auto mismatch(A&& a, B&& b, Compare compare = {}, First first = {}, Second second = {}) {
  const auto [in1, in2] = std::mismatch(std::begin(a), std::end(a), std::begin(b), std::end(b),
                                        atrous_classic::projected(compare, first, second));
  return in_in_result<std::decay_t<decltype(in1)>, std::decay_t<decltype(in2)>>{in1, in2};
}

template <class Range, class Out>
constexpr auto copy(Range&& range, Out out) {
  return in_out_result<decltype(std::end(range)), Out>{
      std::end(range), std::copy(std::begin(range), std::end(range), std::move(out))};
}
template <class Range, class Value>
constexpr auto fill(Range&& range, const Value& value) {
  std::fill(std::begin(range), std::end(range), value);
  return std::end(range);
}
template <class Range, class Value>
constexpr auto replace(Range&& range, const Value& old, const Value& value) {
  std::replace(std::begin(range), std::end(range), old, value);
  return std::end(range);
}
template <class Range, class Out, class Map>
constexpr auto transform(Range&& range, Out out, Map map) {
  identity projection;
  return in_out_result<decltype(std::end(range)), Out>{
      std::end(range), std::transform(std::begin(range), std::end(range), std::move(out),
                                      atrous_classic::projected(map, projection))};
}
template <class A, class B, class Out, class Map>
constexpr auto transform(A&& a, B&& b, Out out, Map map) {
  return std::transform(std::begin(a), std::end(a), std::begin(b), std::move(out), std::ref(map));
}

}  // namespace ranges

}  // namespace std

#endif
