// Counts the memory that a piece of code holds at once: operator new and delete are replaced, and the calls
// of malloc and its kin from the program's own objects (stb_image's) go through --wrap, see
// tests/CMakeLists.txt.
#pragma once

#include <cstddef>

namespace atrous::testing {

// Bytes allocated now, and the most there were since the last call of forget_peak().
std::size_t bytes_held();
std::size_t peak_bytes_held();
void forget_peak();

// The most bytes that `action` holds beyond what was held before it. An error counts as an end.
template <class Action>
std::size_t peak_of(const Action& action) {
  forget_peak();
  const std::size_t before = bytes_held();
  action();
  return peak_bytes_held() - before;
}

}  // namespace atrous::testing
