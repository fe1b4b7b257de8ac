// Numbers for the tests of instances: goldens as boxes, and .npy files of any shape and type.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "runtime/instances/boxes.h"
#include "tests/support/golden.h"

namespace atrous {

inline std::vector<Box> boxes_of(const std::vector<float>& values) {
  std::vector<Box> boxes;
  for (std::size_t i = 0; i + 3 < values.size(); i += 4)
    boxes.push_back({values[i], values[i + 1], values[i + 2], values[i + 3]});
  return boxes;
}
inline std::vector<Box> boxes_of(const GoldenTensor& tensor) { return boxes_of(tensor.values); }

inline std::vector<int> integers_of(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

// The values of a .npy file in C order, as floats: <f4, <f8, <i4, <i8 and |u1. NumPy's format, version 1.
inline std::vector<float> npy_values(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  if (bytes.size() < 10) throw std::runtime_error(path.string() + " is cut short");
  const std::size_t begin =
      10 + static_cast<unsigned char>(bytes[8]) + 256 * std::size_t{static_cast<unsigned char>(bytes[9])};
  const std::string header = bytes.substr(10, begin - 10);
  std::vector<float> values;
  const auto take = [&](auto one) {
    for (std::size_t at = begin; at + sizeof one <= bytes.size(); at += sizeof one) {
      std::memcpy(&one, bytes.data() + at, sizeof one);
      values.push_back(static_cast<float>(one));
    }
  };
  if (header.find("<f4") != header.npos)
    take(0.0F);
  else if (header.find("<f8") != header.npos)
    take(0.0);
  else if (header.find("<i4") != header.npos)
    take(std::int32_t{});
  else if (header.find("<i8") != header.npos)
    take(std::int64_t{});
  else if (header.find("|u1") != header.npos)
    take(std::uint8_t{});
  else
    throw std::runtime_error(path.string() + ": " + header);
  return values;
}

}  // namespace atrous
