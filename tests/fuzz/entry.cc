// libFuzzer's way in: compiled once for each program, with the name of its target.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  atrous::fuzz::ATROUS_FUZZ_TARGET({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
