#include "runtime/segment/model.h"

#include "layers/base/error.h"
#include "layers/base/visible_text.h"
#include "layers/cpu/parallel.h"
#include "runtime/image/palette.h"
#include "weights_tools/checkpoint.h"
#include "weights_tools/default_model.h"

namespace atrous {

namespace {

std::vector<std::string> default_classes(std::int64_t count) {
  auto names = voc_classes();
  if (count == static_cast<std::int64_t>(names.size())) return names;
  names.clear();
  for (std::int64_t i = 0; i < count; ++i) names.push_back(text("class ", i));
  return names;
}

Model make_named_model(Checkpoint checkpoint, const std::string& name, const ModelOptions& options) {
  try {
    Model model = make_model(std::move(checkpoint.state), checkpoint.metadata, options);
    model.choice = std::move(checkpoint.choice);
    return model;
  } catch (const Error& error) {
    fail(error.code(), visible(name), ": ", error.what());
  }
}

}  // namespace

Model make_model(StateDict state, const std::optional<Metadata>& metadata, const ModelOptions& options) {
  Network network = build_network(state, {.aux = options.aux});
  state = {};  // from here on the graph alone holds the weights, and packing releases them one by one
  if (network.classes > 256)
    fail(ErrorCode::unsupported, "the head has ", network.classes, " classes, at most 256 fit a label map");

  Model model;
  model.architecture = network.architecture;
  model.output_stride = network.output_stride;
  if (metadata) {
    if (!metadata->architecture.empty() && metadata->architecture != network.architecture)
      fail(ErrorCode::mismatch, "the metadata says the network is ", metadata->architecture,
           ", the weights are those of ", network.architecture);
    model.classes = metadata->classes;
    model.palette = metadata->palette;
    model.preprocessing = metadata->preprocessing;
  }
  if (model.classes.empty()) model.classes = default_classes(network.classes);
  if (static_cast<std::int64_t>(model.classes.size()) != network.classes)
    fail(ErrorCode::mismatch, "the metadata names ", model.classes.size(), " classes, the head has ",
         network.classes);
  if (model.palette.empty()) model.palette = voc_palette(static_cast<int>(network.classes));

  const CpuOptions cpu{.isa = options.isa,
                       .force = options.force,
                       .threads = resolve_threads(options.threads),
                       .device_layers = options.device_layers};
  model.program =
      std::make_shared<const Program>(options.device ? compile_for(options.device, std::move(network.graph))
                                                     : compile(std::move(network.graph), cpu));
  return model;
}

Model load_model(const std::string& path, const ModelOptions& options) {
  return make_named_model(load_checkpoint(path, {.weights = options.weights}), path, options);
}

Model load_model(std::span<const std::byte> file, const std::string& name, const ModelOptions& options) {
  return make_named_model(load_checkpoint(file, name, {.weights = options.weights}), name, options);
}

Model load_default_model(const ModelOptions& options) {
  return load_model(default_model_file(), "the default model", options);
}

}  // namespace atrous
