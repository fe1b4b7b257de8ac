// What is done to every state dict that a reader lets through.
#pragma once

#include "layers/graph/state_dict.h"
#include "tests/fuzz/fuzz.h"

namespace atrous::fuzz {

// Reads the first and the last byte of each tensor, where AddressSanitizer sees whether they are there, and
// the values of small ones.
inline void touch(const StateDict& state) {
  constexpr std::size_t looked_at = 256;
  std::size_t looked = 0;
  for (const auto& [name, tensor] : state.entries()) {
    if (++looked > looked_at) return;
    const auto bytes = tensor.bytes();
    const volatile std::byte* data = bytes.data();
    if (!bytes.empty()) static_cast<void>(data[0]), static_cast<void>(data[bytes.size() - 1]);
    if (bytes.size() > 0 && bytes.size() <= 4096) to_float(tensor);
    promise(state.find(name) == &tensor, "the tensor ", name, " is not found by its name");
  }
}

}  // namespace atrous::fuzz
