// A module as the library loads it for a device, but of another version.
#include "layers/graph/device.h"

namespace {
constexpr atrous::DeviceModule module{ATROUS_MODULE_VERSION + 1, nullptr, nullptr, nullptr};
}

extern "C" __attribute__((visibility("default"))) const atrous::DeviceModule* atrous_cuda_module() {
  return &module;
}
