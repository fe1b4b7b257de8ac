// numpy.random.RandomState, the legacy stream, whose numbers NumPy promises never to change: MT19937
// (Matsumoto & Nishimura 1998) and the polar method (Marsaglia & Bray 1964).
#pragma once

#include <cmath>
#include <cstdint>
#include <random>

namespace atrous {

class RandomState {
 public:
  explicit RandomState(std::uint32_t seed) : words_(seed) {}

  // 53 bits, [0, 1).
  double uniform() {
    const double high = static_cast<double>(words_() >> 5), low = static_cast<double>(words_() >> 6);
    return (high * 67108864.0 + low) / 9007199254740992.0;
  }

  // The polar method gives two at a time; the second is kept.
  double normal() {
    if (has_kept_) {
      has_kept_ = false;
      return kept_;
    }
    double x, y, square;
    do {
      x = 2.0 * uniform() - 1.0;
      y = 2.0 * uniform() - 1.0;
      square = x * x + y * y;
    } while (square >= 1.0 || square == 0.0);
    const double factor = std::sqrt(-2.0 * std::log(square) / square);
    kept_ = factor * x;
    has_kept_ = true;
    return factor * y;
  }

 private:
  std::mt19937 words_;
  double kept_ = 0;
  bool has_kept_ = false;
};

}  // namespace atrous
