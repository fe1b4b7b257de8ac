// What the fuzz targets share. A target takes any bytes and calls the library with them; it promises that
// there is no crash and no hang, that memory stays bounded, and that nothing but atrous::Error is thrown.
//
// libFuzzer calls one target a program (entry.cc), with bytes it makes up; tests/fuzz/corpus_test.cc calls
// all of them with the files in corpus/TARGET. What a target finds wrong it throws, which ends the former and
// fails the latter.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "layers/base/error.h"
#include "weights_tools/io/bytes.h"

namespace atrous::fuzz {

using Bytes = std::span<const std::byte>;

// Not an Error, so that may_refuse() lets it through.
struct BrokenPromise : std::logic_error {
  using std::logic_error::logic_error;
};

template <class... Parts>
void promise(bool kept, const Parts&... parts) {
  if (!kept) throw BrokenPromise(str_cat(parts...));
}

// Runs what may refuse its input; returns whether it did not.
template <class Action>
bool may_refuse(Action&& action) {
  try {
    action();
    return true;
  } catch (const Error& error) {
    promise(error.what()[0] != '\0', "an Error without a sentence");
    return false;
  }
}

// Takes numbers off the front of the input; they are all 0 once it is used up.
class Draws {
 public:
  explicit Draws(Bytes input) : rest_(input) {}

  std::uint8_t byte() {
    if (rest_.empty()) return 0;
    const auto value = std::to_integer<std::uint8_t>(rest_.front());
    rest_ = rest_.subspan(1);
    return value;
  }
  // One of low..high, at most 256 of them, from one byte.
  std::int64_t pick(std::int64_t low, std::int64_t high) { return low + byte() % (high - low + 1); }
  bool flip() { return byte() & 1; }
  std::uint32_t word() {
    std::uint32_t value = 0;
    for (int i = 0; i < 4; ++i) value = value << 8 | byte();
    return value;
  }
  // The next `count` bytes, or as many as there are.
  Bytes take(std::size_t count) {
    const Bytes taken = rest_.first(std::min(count, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  Bytes rest() const { return rest_; }

 private:
  Bytes rest_;
};

}  // namespace atrous::fuzz
