// C: the list of devices.
#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "layers/cpu/isa.h"
#include "layers/cpu/parallel.h"
#include "runtime/engine/open_device.h"
#include "tests/support/c_testing.h"

namespace atrous::c_devices_test {

using namespace atrous::c_testing;

TEST_CASE("C: devices are the processor and those that the C++ library lists") {
  const auto list = made<atrous_devices>([](atrous_devices** out) { return atrous_devices_list(out); });
  const DeviceList cuda = list_cuda_devices();
  REQUIRE(atrous_devices_count(list.get()) == static_cast<int>(cuda.devices.size()) + 1);
  CHECK(atrous_devices_why_none(list.get()) == cuda.why_none);
  atrous_device_info info{};
  info.size = sizeof info;
  REQUIRE(atrous_devices_get(list.get(), 0, &info) == ATROUS_OK);
  CHECK(std::string(info.device) == "cpu");
  CHECK(std::string(info.name).empty());
  CHECK(std::string_view(info.kind).starts_with(name_of(supported_isas().front())));
  CHECK(info.threads == available_threads());
  CHECK(info.memory_bytes == 0);
  for (std::size_t i = 0; i < cuda.devices.size(); ++i) {
    REQUIRE(atrous_devices_get(list.get(), static_cast<int>(i) + 1, &info) == ATROUS_OK);
    CHECK(info.device == "cuda:" + std::to_string(i));
    CHECK(info.name == cuda.devices[i].name);
    CHECK(info.kind == cuda.devices[i].kind);
    CHECK(info.memory_bytes == cuda.devices[i].memory_bytes);
    CHECK(info.threads == 0);
  }
  for (const int index : {-1, atrous_devices_count(list.get())}) {
    CHECK(atrous_devices_get(list.get(), index, &info) == ATROUS_INVALID_ARGUMENT);
    CHECK(std::string_view(atrous_last_error()).find("the list has") != std::string_view::npos);
  }
  CHECK(atrous_devices_count(nullptr) == 0);
  CHECK(std::string(atrous_devices_why_none(nullptr)).empty());
  CHECK(atrous_devices_get(nullptr, 0, &info) == ATROUS_INVALID_ARGUMENT);
  CHECK(atrous_devices_list(nullptr) == ATROUS_INVALID_ARGUMENT);
  atrous_devices_free(nullptr);
}

}  // namespace atrous::c_devices_test
