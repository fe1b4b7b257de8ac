// What the tests of layers and kernels share: tensors with known or random contents, comparison that says
// where, and running a kernel in the most hostile surroundings its contract allows.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "layers/base/error.h"
#include "layers/base/tensor.h"
#include "layers/graph/kernel.h"

namespace atrous {

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

using Random = std::mt19937_64;

// Any of [low, high]; the same on every standard library, unlike std::uniform_int_distribution.
inline std::int64_t pick(Random& random, std::int64_t low, std::int64_t high) {
  return low + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(high - low + 1));
}
template <class T>
T pick_of(Random& random, std::initializer_list<T> choices) {
  return choices.begin()[pick(random, 0, static_cast<std::int64_t>(choices.size()) - 1)];
}

// How values are drawn. Whole numbers in [-3, 3], times a power of two: sums of their products are exact in
// fp32, so that any order of summation gives the same. Or floats in [-1, 1) with all their digits.
enum class Draw { whole, sixteenths, floats };

inline void fill(View v, Random& random, Draw draw) {
  for (std::int64_t p = 0; p < v.shape.pixels(); ++p)
    for (std::int64_t c = 0; c < v.shape.c; ++c) {
      float& to = v.data[p * v.pitch + c];
      if (draw == Draw::floats)
        to = static_cast<float>(pick(random, -(1 << 23), (1 << 23) - 1)) / static_cast<float>(1 << 23);
      else
        to = static_cast<float>(pick(random, -3, 3)) * (draw == Draw::whole ? 1.f : 1.f / 16);
    }
}

inline std::shared_ptr<const float> drawn(std::int64_t count, Random& random, Draw draw) {
  std::shared_ptr<float[]> values(new float[static_cast<std::size_t>(count)]);
  fill({values.get(), {1, 1, 1, count}, count}, random, draw);
  return {values, values.get()};
}

inline Tensor tensor_of(const Shape& shape, const std::vector<float>& values) {
  Tensor t(shape);
  if (values.size() != t.values().size()) fail(ErrorCode::invalid_argument, "tensor_of: not ", shape);
  std::ranges::copy(values, t.data());
  return t;
}

// Where and how much `found` differs from `expected`, or "" if nowhere by more than
// tolerance * (1 + |expected|).
inline std::string difference(ConstView found, ConstView expected, double tolerance = 0) {
  if (found.shape != expected.shape)
    return str_cat("shape: expected ", expected.shape, ", found ", found.shape);
  std::int64_t count = 0;
  std::string first;
  const Shape& s = expected.shape;
  for (std::int64_t n = 0; n < s.n; ++n)
    for (std::int64_t y = 0; y < s.h; ++y)
      for (std::int64_t x = 0; x < s.w; ++x)
        for (std::int64_t c = 0; c < s.c; ++c) {
          const double e = expected.at(n, y, x, c), f = found.at(n, y, x, c);
          const bool equal = e == f || std::abs(e - f) <= tolerance * (1 + std::abs(e));
          if (equal) continue;
          if (count++ == 0) {
            std::ostringstream out;
            out.precision(9);
            out << "at [" << n << ", " << y << ", " << x << ", " << c << "]: expected " << e << ", found "
                << f;
            first = out.str();
          }
        }
  return count == 0 ? "" : str_cat(first, " (", count, " of ", s.pixels() * s.c, " differ)");
}

inline bool same_bits(ConstView a, ConstView b) {
  if (a.shape != b.shape) return false;
  for (std::int64_t p = 0; p < a.shape.pixels(); ++p)
    if (std::memcmp(a.data + p * a.pitch, b.data + p * b.pitch,
                    static_cast<std::size_t>(a.shape.c) * sizeof(float)) != 0)
      return false;
  return true;
}

// A tensor that may be a slice of the channels of a wider one: `before` and `after` strange channels beside
// it, which hold NaN, so that reading one shows in the result and writing one is found.
class Slice {
 public:
  explicit Slice(const Shape& shape, std::int64_t before = 0, std::int64_t after = 0)
      : whole_({shape.n, shape.h, shape.w, before + shape.c + after}), before_(before), count_(shape.c) {
    std::ranges::fill(whole_.values(), stranger);
  }
  View view() { return channels(whole_.view(), before_, count_); }
  ConstView view() const { return channels(whole_.view(), before_, count_); }

  bool strangers_untouched() const {
    const ConstView all = whole_.view();
    for (std::int64_t p = 0; p < all.shape.pixels(); ++p)
      for (std::int64_t c = 0; c < all.shape.c; ++c)
        if ((c < before_ || c >= before_ + count_) &&
            std::bit_cast<std::uint32_t>(all.data[p * all.pitch + c]) !=
                std::bit_cast<std::uint32_t>(stranger))
          return false;
    return true;
  }

 private:
  static constexpr float stranger = std::bit_cast<float>(0x7fc0abcdu);  // a NaN that no arithmetic makes
  Tensor whole_;
  std::int64_t before_, count_;
};

// Runs with a workspace of exactly the size asked for, full of NaN, and the output as it is.
inline void run_on_top(const Kernel& kernel, const std::vector<ConstAnyView>& inputs, AnyView output,
                       int threads) {
  std::vector<Shape> shapes;
  for (const ConstAnyView& in : inputs) shapes.push_back(in.shape);
  Buffer workspace(kernel.workspace_bytes(shapes, output.shape, threads));
  if (workspace.size() > 0) std::memset(workspace.data(), 0xff, workspace.size());
  kernel.run({.inputs = inputs,
              .output = output,
              .workspace = {workspace.data(), workspace.size()},
              .threads = threads});
}
inline void run_on_top(const Kernel& kernel, const std::vector<ConstView>& inputs, View output, int threads) {
  std::vector<ConstAnyView> maps;
  for (const ConstView& in : inputs) maps.push_back(any_view(in));
  run_on_top(kernel, maps, any_view(output), threads);
}

// The same with an output full of NaN.
inline void run_hostile(const Kernel& kernel, const std::vector<ConstView>& inputs, View output,
                        int threads) {
  for (std::int64_t p = 0; p < output.shape.pixels(); ++p)
    std::fill_n(output.data + p * output.pitch, output.shape.c, not_a_number);
  run_on_top(kernel, inputs, output, threads);
}

// The sentence of the Error that `action` throws; "" if it throws none or one of another code.
template <class Action>
std::string error_of(ErrorCode code, Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.code() == code ? error.what() : "";
  }
  return "";
}

inline bool contains(const std::string& sentence, std::string_view part) {
  return sentence.find(part) != std::string::npos;
}

}  // namespace atrous
