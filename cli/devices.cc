// atrous devices

#include "cli/cli.h"
#include "layers/cpu/isa.h"
#include "layers/cpu/parallel.h"
#include "runtime/engine/open_device.h"
#include "weights_tools/io/json_output.h"

namespace atrous::cli {

namespace {

int run(bool json) {
  const DeviceList cuda = list_cuda_devices();
  std::string isas;
  for (const Isa isa : supported_isas()) isas += str_cat(isas.empty() ? "" : ", ", name_of(isa));
  const std::string threads = str_cat(available_threads(), " threads");
  if (json) {
    std::vector<JsonText> devices{json_object({{"device", "cpu"}, {"kind", isas}})};
    for (std::size_t i = 0; i < cuda.devices.size(); ++i) {
      const DeviceInfo& d = cuda.devices[i];
      devices.push_back(json_object({{"device", str_cat("cuda:", i)},
                                     {"name", d.name},
                                     {"kind", d.kind},
                                     {"memory_bytes", d.memory_bytes},
                                     {"free_bytes", d.free_bytes}}));
    }
    JsonText libraries = json_object();
    for (const auto& [name, version] : cuda.libraries) add_member(libraries, name, version);
    JsonText report = json_object({{"devices", json_list(devices)}, {"libraries", libraries}});
    if (!cuda.why_none.empty()) add_member(report, "why_none", cuda.why_none);
    print(json_output(report));
    return 0;
  }
  Table table({"device", "name", "kind", "memory"});
  table.add({"cpu", threads, isas, ""});
  for (std::size_t i = 0; i < cuda.devices.size(); ++i) {
    const DeviceInfo& d = cuda.devices[i];
    table.add({str_cat("cuda:", i), d.name, d.kind,
               str_cat(megabytes(d.free_bytes), " of ", megabytes(d.memory_bytes), " free")});
  }
  std::string said = table.plain();
  if (!cuda.why_none.empty()) said += str_cat('\n', "no other device: ", cuda.why_none, '\n');
  if (!cuda.libraries.empty()) said += '\n';
  for (const auto& [name, version] : cuda.libraries) said += str_cat(name, ": ", version, '\n');
  print(said);
  return 0;
}

}  // namespace

Action add_devices(Verb& verb) {
  auto json = std::make_shared<bool>(false);
  verb.add_flag("--json", *json, "Print JSON");
  verb.footer(
      "Examples:\n"
      "  atrous devices\n"
      "  atrous segment street.jpg --device cuda:1 --fp16");
  return [json] { return run(*json); };
}

}  // namespace atrous::cli
