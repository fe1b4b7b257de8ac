#include "runtime/segment/model.h"

#include <algorithm>
#include <cmath>

#include "layers/base/ascii.h"
#include "layers/base/error.h"
#include "layers/base/naming.h"
#include "layers/cpu/parallel.h"
#include "layers/networks/segmentation.h"
#include "runtime/image/class_table.h"
#include "runtime/image/palette.h"
#include "runtime/segment/second_stage.h"
#include "weights_tools/checkpoint.h"
#include "weights_tools/default_model.h"

namespace atrous {

namespace {

// The names and colours of a head with `count` channels where nothing says them.
ClassTable default_classes(std::int64_t count, std::string_view file) {
  if (count == 1) return {{"background", "foreground"}, voc_palette(2)};
  if (auto table = likely_class_table(static_cast<std::size_t>(count), file)) return std::move(*table);
  ClassTable table{{}, voc_palette(static_cast<int>(count))};
  for (std::int64_t i = 0; i < count; ++i) table.classes.push_back(str_cat("class ", i));
  return table;
}

// What segmentation_models.pytorch puts behind the decoder's convolutions: batch norm, or nothing, which keys
// show; others have batch norm's keys, too, or none. Of 0.5 a dictionary may give its arguments.
void check_norm(const Config& config) {
  constexpr std::string_view known = " true false batchnorm identity 1e-05 ";
  for (const char* key : {"decoder_use_batchnorm", "psp_use_batchnorm", "decoder_use_norm",
                          "decoder_use_norm.type", "decoder_use_norm.eps"})
    if (const auto found = config.find(key);
        found != config.end() && known.find(' ' + found->second + ' ') == known.npos)
      fail(ErrorCode::unsupported, "the config.json beside the weights says ", key, ' ', found->second,
           ": atrous knows decoders with batch norm of eps 1e-05 and with none");
}

// What the same library puts behind the head in training: "sigmoid", "softmax2d" and others.
void check_activation(const Network& network, const Config& config) {
  const auto found = config.find("activation");
  if (found == config.end()) return;
  const std::string activation = lower(found->second);
  if (activation == "sigmoid" && network.classes > 1)
    fail(
        ErrorCode::unsupported, "the config.json beside the weights says that the head's ", network.classes,
        " channels have a sigmoid each (several labels a pixel); atrous takes a sigmoid of one channel only");
  const auto is = [&](std::string_view word) { return activation.find(word) != activation.npos; };
  if ((is("softmax") || is("argmax")) && network.classes == 1)
    fail(ErrorCode::mismatch, "the config.json beside the weights says ", found->second,
         ", which over the head's one channel is always the same");
  if (is("clamp") || (is("tanh") && network.classes == 1))
    fail(ErrorCode::unsupported, "the config.json beside the weights says ", found->second,
         " behind the head: atrous knows sigmoid, softmax and none");
}

Answer answer_of(const Network& network, const std::optional<Metadata>& metadata) {
  const Decision of_channels = network.classes == 1 ? Decision::sigmoid : Decision::softmax;
  const Decision said = metadata && metadata->decision ? *metadata->decision : of_channels;
  if (said == Decision::sigmoid && network.classes > 1)
    fail(
        ErrorCode::unsupported, "the metadata says that the head's ", network.classes,
        " channels have a sigmoid each (several labels a pixel); atrous takes a sigmoid of one channel only");
  if (said != of_channels)
    fail(ErrorCode::mismatch, "the metadata says softmax, which over the head's one channel is always 1");
  const bool align =
      metadata && metadata->align_corners ? *metadata->align_corners : network.answer.align_corners;
  return {.decision = said,
          .align_corners = align,
          .crf = metadata && metadata->crf ? metadata->crf : network.answer.crf};
}

std::optional<int> background_of(const Model& model, Decision decision,
                                 const std::optional<Metadata>& metadata) {
  if (metadata && metadata->background) {
    const int said = *metadata->background;
    if (said >= static_cast<int>(model.classes.size()))
      fail(ErrorCode::mismatch, "the metadata says that class ", said, " is the background, the head has ",
           model.classes.size(), " classes");
    return said == no_background ? std::nullopt : std::optional(said);
  }
  return decision == Decision::sigmoid ? 0 : background_by_name(model.classes);
}

// Of a path, or of "seeded:NAME".
std::string_view file_part(std::string_view name) { return name.substr(name.find_last_of("/:") + 1); }

// What tells variants with the same keys apart beside the hyper: what the file says of itself, or its name,
// and of seeded weights theirs.
std::string name_for(const std::optional<Metadata>& metadata, const std::string& name) {
  if (metadata && !metadata->architecture.empty()) return metadata->architecture;
  return std::string(file_part(name));
}

Model make_named_model(Checkpoint checkpoint, const std::string& name, ModelOptions options) {
  options.name = name;
  options.config = std::move(checkpoint.config);
  options.arch = std::move(checkpoint.arch);
  options.normalisation = checkpoint.normalisation;
  return naming(
      name,
      [&] {
        Model model = make_model(std::move(checkpoint.state), checkpoint.metadata, options);
        model.choice = std::move(checkpoint.choice) +
                       (checkpoint.choice.empty() || model.choice.empty() ? "" : "; ") + model.choice;
        return model;
      },
      ErrorCode::io);
}

// Of a path or of bytes in memory. Convolutions' weights are read as they are packed. Where they are not
// finite then, a second reading of all of them names their keys.
Model load_named_model(const std::string& name, const std::span<const std::byte>* bytes,
                       const ModelOptions& options) {
  LoadOptions how{.weights = options.weights, .keep_stored = true};
  const auto load = [&] { return bytes ? load_checkpoint(*bytes, name, how) : load_checkpoint(name, how); };
  try {
    return make_named_model(load(), name, options);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::not_finite) throw;
  }
  how.keep_stored = false;
  return make_named_model(load(), name, options);
}

}  // namespace

bool Model::has_masks() const { return !second_stage || second_stage->mask_head; }

const Answer& Model::answer() const { return program->answer; }

std::int64_t Model::logits() const {
  return answer().decision == Decision::sigmoid ? 1 : static_cast<std::int64_t>(classes.size());
}

Model make_model(StateDict state, const std::optional<Metadata>& metadata, const ModelOptions& options) try {
  Hyper hyper = hyper_of(state, options.config);
  if (metadata) hyper.override_with(Hyper(metadata->hyper));
  hyper.override_with(options.hyper);
  Network network = build_network(
      state,
      {.aux = options.aux, .hyper = hyper, .named = name_for(metadata, options.name), .arch = options.arch});
  state = {};  // from here on the graph alone holds the weights, and packing releases them one by one
  if (network.classes > 256)
    fail(ErrorCode::unsupported, "the head has ", network.classes, " classes, at most 256 fit a label map");

  Model model;
  model.architecture = network.architecture;
  model.hyper = std::move(hyper);
  model.choices = network.choices;
  model.choice = network.choice;
  model.output_stride = network.output_stride;
  model.has_aux = network.has_aux;
  model.preparation = network.preparation;
  if (const auto& around = options.normalisation) {
    model.preparation.mean = around->mean;
    model.preparation.std = around->std;
    model.preparation.range = around->range;
  }
  if (metadata) {
    if (!metadata->architecture.empty() && metadata->architecture != network.architecture &&
        std::ranges::find(network.same_keys, metadata->architecture) == network.same_keys.end())
      fail(ErrorCode::mismatch, "the metadata says the network is ", metadata->architecture,
           ", the weights are those of ", network.architecture);
    model.classes = metadata->classes;
    model.palette = metadata->palette;
    model.preparation = metadata->preparation;
  }
  check_norm(options.config);
  if (!metadata || !metadata->decision) check_activation(network, options.config);
  const Answer answer = answer_of(network, metadata);
  if (model.classes.empty()) {
    // EncNet's code has PASCAL-Context in an order of its own.
    const bool context = network.classes == 59 && network.architecture.starts_with("encnet-");
    ClassTable table = default_classes(network.classes - network.last_is_void,
                                       context ? "pcontext" : file_part(options.name));
    if (network.last_is_void) {
      table.classes.push_back("void");
      table.palette.push_back({255, 255, 255});  // as Poutyne draws pixels without a label
    }
    model.classes = std::move(table.classes);
    if (model.palette.empty()) model.palette = std::move(table.palette);
  }
  const auto expected = answer.decision == Decision::sigmoid ? 2 : network.classes;
  if (static_cast<std::int64_t>(model.classes.size()) != expected)
    fail(ErrorCode::mismatch, "the metadata names ", model.classes.size(), " classes, the head has ",
         network.classes,
         network.classes == 1 ? " channel, which stands for 2: background and foreground" : "");
  if (model.palette.empty()) model.palette = voc_palette(static_cast<int>(model.classes.size()));
  model.background = background_of(model, answer.decision, metadata);

  const bool calibrated = metadata && !metadata->activations.empty();
  if (options.precision == Precision::int8 && !calibrated)
    fail(ErrorCode::invalid_argument,
         "int8: the checkpoint is not calibrated for it; atrous convert --int8 makes one that is");
  const CpuOptions cpu{
      .isa = options.isa,
      .force = options.force,
      .threads = resolve_threads(options.threads),
      .device_layers = options.device_layers,
      .precision = options.precision.value_or(calibrated ? Precision::int8 : Precision::fp32)};
  const auto made_ready = [&](Graph graph) {
    if (metadata)
      for (Value& value : graph.values)
        if (const auto found = metadata->activations.find(value.name); found != metadata->activations.end())
          value.range = found->second;
    Program program =
        options.device ? compile_for(options.device, std::move(graph)) : compile(std::move(graph), cpu);
    program.name = options.name;
    program.answer = answer;
    return program;
  };
  if (auto& two = network.two_stage) {
    const auto shared = [&](Graph graph) {
      return std::make_shared<const Program>(made_ready(std::move(graph)));
    };
    auto second = std::make_shared<SecondStage>();
    second->box_head = shared(std::exchange(two->box_head, {}));
    if (two->box_maps) second->box_maps = shared(std::move(*std::exchange(two->box_maps, {})));
    if (two->mask_head) second->mask_head = shared(std::move(*std::exchange(two->mask_head, {})));
    second->how = std::move(*two);
    model.second_stage = std::move(second);
  }
  Program program = made_ready(std::move(network.graph));
  program.padding = network.padding;
  model.program = std::make_shared<const Program>(std::move(program));
  return model;
} catch (...) {
  rethrow_as_error();
}

std::size_t Model::packed_bytes() const try {
  std::size_t bytes = program->packed_bytes();
  if (second_stage)
    for (const auto& part : {second_stage->box_maps, second_stage->box_head, second_stage->mask_head})
      if (part) bytes += part->packed_bytes();
  return bytes;
} catch (...) {
  rethrow_as_error();
}

float threshold_logit(const Model& model, std::optional<double> threshold) try {
  if (!threshold) return 0;
  if (model.answer().decision != Decision::sigmoid)
    fail(ErrorCode::invalid_argument, "a threshold is for a network of one logit, this one has ",
         model.logits(), ", of which the largest decides");
  if (!(*threshold > 0 && *threshold < 1))
    fail(ErrorCode::invalid_argument, "threshold: expected a probability between 0 and 1, found ",
         *threshold);
  return static_cast<float>(std::log(*threshold / (1 - *threshold)));
} catch (...) {
  rethrow_as_error();
}

std::optional<int> background_by_name(const std::vector<std::string>& classes) try {
  const auto found = std::ranges::find_if(
      classes, [](const std::string& name) { return name.find("background") != name.npos; });
  if (found == classes.end()) return {};
  return static_cast<int>(found - classes.begin());
} catch (...) {
  rethrow_as_error();
}

Model load_model(const std::string& path, const ModelOptions& options) try {
  return load_named_model(path, nullptr, options);
} catch (...) {
  rethrow_as_error();
}

Model load_model(std::span<const std::byte> file, const std::string& name, const ModelOptions& options) try {
  return load_named_model(name, &file, options);
} catch (...) {
  rethrow_as_error();
}

Model load_default_model(const ModelOptions& options) try {
  return load_model(default_model_file(), "the default model", options);
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
