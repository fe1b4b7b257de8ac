// The JSON header of a .safetensors file, see safetensors.h.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "layers/graph/state_dict.h"

namespace atrous {

struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0, end = 0;  // offsets into the data
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;
  std::map<std::string, std::string> metadata;
};

// Reads one event at a time, so that a large header costs little more than its own size. The errors of
// read_safetensors() that concern the JSON itself; whether sizes and offsets agree is not checked here.
SafetensorsHeader parse_safetensors_header(std::span<const std::byte> json);

// The inverse. Error(invalid_argument) for names or metadata that are not UTF-8.
std::string format_safetensors_header(const SafetensorsHeader&);

}  // namespace atrous
