#include "layers/cpu/isa.h"
#include "layers/cpu/parallel.h"
#include "runtime/c/handles.h"
#include "runtime/engine/open_device.h"

namespace atrous::c {

namespace {

std::unique_ptr<atrous_devices> all_devices() {
  auto list = std::make_unique<atrous_devices>();
  std::string isas;
  for (const Isa isa : supported_isas()) isas += str_cat(isas.empty() ? "" : ", ", name_of(isa));
  list->all.push_back({.device = "cpu",
                       .name = "",
                       .kind = isas,
                       .memory_bytes = 0,
                       .free_bytes = 0,
                       .threads = available_threads()});
  DeviceList cuda = list_cuda_devices();
  for (std::size_t i = 0; i < cuda.devices.size(); ++i) {
    DeviceInfo& d = cuda.devices[i];
    list->all.push_back({.device = str_cat("cuda:", i),
                         .name = std::move(d.name),
                         .kind = std::move(d.kind),
                         .memory_bytes = d.memory_bytes,
                         .free_bytes = d.free_bytes,
                         .threads = 0});
  }
  list->why_none = std::move(cuda.why_none);
  return list;
}

}  // namespace

}  // namespace atrous::c

using namespace atrous::c;

extern "C" {

atrous_status atrous_devices_list(atrous_devices** out) { return made(out, all_devices); }

int32_t atrous_devices_count(const atrous_devices* handle) {
  return handle ? static_cast<int32_t>(handle->all.size()) : 0;
}

atrous_status atrous_devices_get(const atrous_devices* handle, int32_t index, atrous_device_info* out) {
  return guarded([&] {
    const auto& all = given(handle, "devices").all;
    if (index < 0 || static_cast<std::size_t>(index) >= all.size())
      atrous::fail(atrous::ErrorCode::invalid_argument, "device ", index, ": the list has ", all.size());
    const ListedDevice& one = all[static_cast<std::size_t>(index)];
    atrous_device_info info{};
    info.device = one.device.c_str();
    info.name = one.name.c_str();
    info.kind = one.kind.c_str();
    info.memory_bytes = one.memory_bytes;
    info.free_bytes = one.free_bytes;
    info.threads = one.threads;
    fill(out, info, "atrous_device_info");
  });
}

const char* atrous_devices_why_none(const atrous_devices* handle) {
  return handle ? handle->why_none.c_str() : "";
}

void atrous_devices_free(atrous_devices* handle) { delete handle; }

}  // extern "C"
