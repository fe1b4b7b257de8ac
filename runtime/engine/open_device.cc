#include "runtime/engine/open_device.h"

#include "layers/graph/device.h"

#include <charconv>
#include <string_view>

#include "layers/base/error.h"

#if ATROUS_HAS_CUDA
#include <dlfcn.h>
#endif

namespace atrous {

namespace {

constexpr std::string_view kind = "cuda";

// The number in "cuda:1"; 0 in "cuda"; -1 where it is neither.
int index_of(std::string_view name) {
  if (!name.starts_with(kind)) return -1;
  name.remove_prefix(kind.size());
  if (name.empty()) return 0;
  if (name.front() != ':') return -1;
  name.remove_prefix(1);
  int index = -1;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), index);
  const bool digits = !name.empty() && name.front() >= '0' && name.front() <= '9';
  return error == std::errc() && end == name.data() + name.size() && digits ? index : -1;
}

const DeviceModule& cuda_module() {
#if ATROUS_HAS_CUDA
  // Never unloaded: devices, and the exceptions they throw, outlive every call.
  void* loaded = dlopen("libatrous_cuda.so", RTLD_NOW | RTLD_LOCAL);
  if (!loaded)
    fail(ErrorCode::unsupported, "cuda: ", dlerror(),
         " (the module that drives CUDA devices is built where nvcc and cuDNN are, and needs the libraries "
         "of both)");
  const auto module = reinterpret_cast<const DeviceModule* (*)()>(dlsym(loaded, "atrous_cuda_module"));
  if (!module) fail(ErrorCode::unsupported, "cuda: libatrous_cuda.so: ", dlerror());
  const DeviceModule& found = *module();
  if (found.version != ATROUS_MODULE_VERSION)
    fail(ErrorCode::unsupported,
         "cuda: libatrous_cuda.so: another build's module: its interface has version ", std::hex,
         found.version, ", this atrous expects ", ATROUS_MODULE_VERSION);
  return found;
#else
  fail(ErrorCode::unsupported, "cuda: this build has no CUDA back end");
#endif
}

}  // namespace

bool is_device_name(const std::string& name) { return name == "cpu" || index_of(name) >= 0; }

std::shared_ptr<Device> open_device(const std::string& name, DeviceOptions options) try {
  if (name == "cpu") return nullptr;
  options.index = index_of(name);
  if (options.index < 0)
    fail(ErrorCode::invalid_argument, "device ", name, ": expected cpu, cuda or cuda:NUMBER");
  return cuda_module().open(options);
} catch (...) {
  rethrow_as_error();
}

DeviceList list_cuda_devices() try {
  DeviceList list;
  try {
    const DeviceModule& module = cuda_module();
    list.libraries = module.libraries();
    list.devices = module.list();
  } catch (const Error& error) {
    list.why_none = error.what();
  }
  return list;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
