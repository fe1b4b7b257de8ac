// atrous devices, and --device where there is no other device than the processor.
#include <filesystem>

#include "runtime/engine/open_device.h"
#include "tests/support/cli_testing.h"

namespace atrous::devices_test {

using namespace atrous::cli_testing;

namespace {

const std::string street = ATROUS_SOURCE_DIR "/tests/street/street.png";

// A folder where the loader finds a module first that holds `content`.
ProcessOptions with_module(const TemporaryFolder& folder, std::string_view content) {
  write_file(folder / "libatrous_cuda.so", std::as_bytes(std::span(content)));
  return {.environment = {{"LD_LIBRARY_PATH", folder.path()}}};
}

}  // namespace

TEST_CASE("devices lists the processor, and others or why there are none") {
  const std::string said = succeed({"devices"});
  CHECK(mentions(said, "cpu"));
  CHECK(mentions(said, std::string(name_of(supported_isas().front()))));
  CHECK(mentions(said, "cuda:0") != mentions(said, "no other device: cuda: "));
  const Json report = Json::parse(succeed({"devices", "--json"}));
  CHECK(report["devices"][0]["device"] == "cpu");
  CHECK(report.contains("why_none") == (report["devices"].size() == 1));
}

TEST_CASE("names of devices are cpu, cuda and cuda:NUMBER") {
  for (const char* name : {"cpu", "cuda", "cuda:0", "cuda:12"}) CHECK(is_device_name(name));
  for (const char* name :
       {"", "CPU", "cuda:", "cuda:-1", "cuda:1x", "cuda: 1", "cuda1", "gpu", "cuda:99999999999"}) {
    CAPTURE(std::string(name));
    CHECK_FALSE(is_device_name(name));
    CHECK(
        mentions(sentence(ErrorCode::invalid_argument, [&] { open_device(name); }), "expected cpu, cuda or"));
    refuse(2, {"bench", "fcn_resnet50", "--device", name},
           {*name == 0 ? "--device: expected a value" : "--device: expected cpu, cuda or cuda:NUMBER"});
  }
  CHECK(open_device("cpu") == nullptr);
}

TEST_CASE("a device's options need a device, and do not contradict each other") {
  const Arguments segment{"segment", street};
  for (const char* option : {"--fp16", "--tf32", "--search"}) {
    refuse(2, segment + Arguments{option}, {option, "give --device cuda"});
    refuse(2, {"verify", "default", option}, {option, "give --device cuda"});
    refuse(2, {"verify", "default", "--device", "scalar", option}, {option, "give --device cuda"});
  }
  refuse(2, segment + Arguments{"--device", "cuda", "--fp16", "--tf32"}, {"--fp16 and --tf32"});
  refuse(2, segment + Arguments{"--device", "cuda", "--isa", "scalar"}, {"--isa", "not for cuda"});
  for (const char* precision : {"fp16", "tf32"})
    refuse(2, segment + Arguments{"--precision", precision},
           {str_cat("the processor computes in fp32, bf16 or int8, not in ", precision)});
  refuse(2, segment + Arguments{"--device", "cuda", "--precision", "bf16"}, {"bf16 is for the processor"});
  refuse(2, segment + Arguments{"--precision", "fp32", "--fp16"},
         {"--precision and --fp16 exclude each other"});
}

TEST_CASE("a device that cannot be had is an error that says why, and nothing else runs in its place") {
  const TemporaryFolder folder, modules;
  const Arguments run{"segment", street, "-o", folder / "results", "--device", "cuda"};
  const ProcessOptions broken = with_module(modules, "not a module");
  refuse(1, run, {"cuda: ", "libatrous_cuda.so"}, broken);
  refuse(1, {"verify", "default", "--device", "cuda:1"}, {"cuda: ", "libatrous_cuda.so"}, broken);
  CHECK(mentions(succeed({"devices"}, broken), "no other device: cuda: "));
  if (list_cuda_devices().devices.empty()) refuse(1, run, {"cuda: "});
  CHECK_FALSE(std::filesystem::exists(folder / "results"));
}

TEST_CASE("a module of another version is not used") {
  const ProcessOptions another{.environment = {{"LD_LIBRARY_PATH", ATROUS_ANOTHER_VERSION}}};
  constexpr std::uint64_t version = ATROUS_MODULE_VERSION;
  const std::string why = str_cat("libatrous_cuda.so: another build's module: its interface has version ",
                                  std::hex, version + 1, ", this atrous expects ", version);
  refuse(1, {"verify", "default", "--device", "cuda"}, {"cuda: ", why}, another);
  CHECK(mentions(succeed({"devices"}, another), "no other device: cuda: " + why));
}

TEST_CASE("what a picture ran on is in the report") {
  const TemporaryFolder folder;
  const Json report = Json::parse(succeed(
      {"segment", street, "-o", folder / "results", "--resize", "64", "--json", "-", "--device", "cpu"}));
  CHECK(report[0]["device"] == str_cat("cpu ", name_of(supported_isas().front())));
  CHECK(report[0]["precision"] == "fp32");
}

}  // namespace atrous::devices_test
