// SHA-256 (FIPS 180-4, section 6.2), to name a checkpoint by its content.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace atrous {

class Sha256 {
 public:
  void update(std::span<const std::byte> bytes);
  std::array<std::uint8_t, 32> finish();  // to be called once

 private:
  void compress(const std::byte* block);

  std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::byte, 64> pending_{};
  std::uint64_t total_ = 0;  // bytes so far
};

std::string sha256_of_bytes(std::span<const std::byte> bytes);  // 64 lower-case hex digits
std::string sha256_of_file(const std::string& path);            // the same; Error(io) as InputFile

}  // namespace atrous
