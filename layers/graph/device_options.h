// Which device, and how it computes: layers/graph/device.h.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "layers/base/public.h"
#include "layers/graph/precision.h"

namespace ATROUS_PUBLIC atrous {

// The names of the implementations that devices have, for messages and completion.
std::span<const std::string_view> device_implementations();

struct DeviceOptions {
  int index = 0;  // among the devices of its kind
  Precision precision = Precision::fp32;
  std::string force = {};        // an implementation's name: the only one for every layer that it accepts
  bool search = false;           // time the candidates for a layer's shape instead of trusting estimates
  std::string search_file = {};  // where what was found is kept, or empty
};

struct DeviceInfo {
  std::string name;  // "NVIDIA H200"
  std::string kind;  // "compute capability 9.0"
  std::uint64_t memory_bytes = 0, free_bytes = 0;
};

}  // namespace atrous
