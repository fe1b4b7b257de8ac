// Devices that networks can run on, by name: "cpu", "cuda" (the first one), "cuda:1".
//
// What drives them is a module, libatrous_cuda.so, which is loaded when a device is asked for, with CUDA's
// own libraries behind it. The dynamic loader finds it as it finds every library: beside the program or
// library, where that was built so, then in the system's folders.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "layers/base/public.h"
#include "layers/graph/device_options.h"

namespace ATROUS_PUBLIC atrous {

class Device;  // layers/graph/device.h

// Null for "cpu". Error(invalid_argument) for other names and for a device that there is not,
// Error(unsupported) saying why where there is none at all: no module, a library that is missing, no driver.
// options.index is the name's. There is never a fallback.
std::shared_ptr<Device> open_device(const std::string& name, DeviceOptions = {});

// Whether it is one of these names, as far as it goes without looking for the device.
bool is_device_name(const std::string& name);

struct DeviceList {
  std::vector<DeviceInfo> devices;
  std::vector<std::pair<std::string, std::string>>
      libraries;         // name and version: what was found and is needed
  std::string why_none;  // where there are no devices
};
DeviceList list_cuda_devices();

}  // namespace atrous
