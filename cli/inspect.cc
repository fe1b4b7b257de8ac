// atrous inspect FILE
#include <algorithm>
#include <charconv>
#include <iomanip>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include "cli/cli.h"
#include "cli/crf_options.h"
#if ATROUS_HAS_EXPLAIN
#include "cli/explain.h"
#endif
#include "cli/model_argument.h"
#include "layers/base/error.h"
#include "layers/base/visible_text.h"
#include "layers/cpu/parallel.h"
#include "runtime/engine/plan.h"
#include "runtime/image/preprocess.h"
#include "runtime/instances/detector.h"
#include "runtime/segment/dense_crf.h"
#include "runtime/segment/options_json.h"
#include "runtime/segment/second_stage.h"
#include "weights_tools/checkpoint.h"
#include "weights_tools/io/json_output.h"

namespace atrous::cli {

namespace {

struct InspectArguments {
  std::string file, weights, arch, size = "520x520";
  bool json = false, tensors = false;
  int threads = 0;
#if ATROUS_HAS_EXPLAIN
  std::vector<std::string> explain;  // a layer's name, or the flag's own value for all
  std::string graph;
#endif
};

// Parameters as torch counts them: what training changes, not the statistics beside it, nor what quantising
// adds.
bool is_parameter(const std::string& name) {
  constexpr std::string_view others[] = {".running_mean", ".running_var",       ".num_batches_tracked",
                                         ".weight.scale", ".weight.correction", ".weight.equalisation"};
  return std::ranges::none_of(others, [&](std::string_view ending) { return name.ends_with(ending); });
}

// What the network is and takes, or why it is none that atrous runs.
struct Network {
  std::optional<Model> model;
  std::string reason;
  int width = 0, height = 0;  // of the photo that the work and the memory below are for
  std::int64_t macs = 0;
  std::size_t arena_bytes = 0;

  bool finds_instances() const { return model && model->task() == Task::instances; }
};

Network examine(const Checkpoint& checkpoint, const InspectArguments& options) {
  Network out;
  std::tie(out.width, out.height) = parse_size(options.size);
  try {
    Model model = make_model(checkpoint.state, checkpoint.metadata,
                             {.name = options.file,
                              .hyper = parse_arch(options.arch),
                              .threads = options.threads,
                              .config = checkpoint.config,
                              .arch = checkpoint.arch,
                              .normalisation = checkpoint.normalisation});
    for (const Stage& stage : stages_of(model, out.height, out.width)) {
      const Plan plan = make_plan(*stage.program, padded_shape(stage.program->padding, stage.input),
                                  resolve_threads(options.threads));
      if (stage.program == model.program) out.macs = plan.macs;
      out.arena_bytes += plan.arena_bytes();
    }
    out.model = std::move(model);
  } catch (const Error& error) {
    if (!options.arch.empty() && error.code() == ErrorCode::invalid_argument)
      fail(error.code(), options.file, ": ", error.what());
    out.reason = error.what();
  }
  return out;
}

struct Tensors {
  std::size_t count = 0;
  std::int64_t parameters = 0;
  std::size_t filters = 0, quantised = 0;  // of convolutions: those of four dimensions, and in 8 bits
  std::map<std::string, std::int64_t> by_dtype;
};

Tensors count_tensors(const StateDict& state) {
  Tensors out{.count = state.size(), .by_dtype = {}};
  for (const auto& [name, tensor] : state.entries()) {
    ++out.by_dtype[std::string(name_of(tensor.dtype))];
    if (is_parameter(name)) out.parameters += tensor.elements();
    const bool is_filter = tensor.shape.size() == 4;
    out.filters += is_filter;
    out.quantised += is_filter && tensor.dtype == DType::i8;
  }
  return out;
}

// The shortest digits that give the same float: 0.485 and not 0.48500001430511475.
double shortest(float value) {
  double out = 0;
  for (int precision = 1; precision <= 9; ++precision) {
    const std::string digits = str_cat(std::setprecision(precision), value);
    std::from_chars(digits.data(), digits.data() + digits.size(), out);
    if (static_cast<float>(out) == value) break;
  }
  return out;
}

std::string size_in_words(const Model& model) {
  return model.second_stage ? in_words(model.second_stage->how.sides) : in_words(model.preparation.resize);
}

std::string summary(const Model& model) { return size_in_words(model) + "; " + in_words(model.preparation); }

JsonText preparation_json(const Model& model) {
  const Preparation& p = model.preparation;
  const auto shortest_of = [](float v) { return shortest(v); };
  return json_object({{"resize", size_in_words(model)},
                      {"order", name_of(p.order)},
                      {"range", p.range},
                      {"mean", json_list(p.mean, shortest_of)},
                      {"std", json_list(p.std, shortest_of)},
                      {"summary", summary(model)}});
}

// At the size that the network is looked at.
std::size_t crf_bytes(const Network& network) {
  return dense_crf_bytes(std::int64_t{network.width} * network.height,
                         std::max<std::int64_t>(network.model->logits(), 2));
}

void add_members(JsonText& report, const Network& network) {
  if (!network.model) {
    add_member(report, "architecture", nullptr);
    return add_member(report, "reason", network.reason);
  }
  const Model& model = *network.model;
  add_member(report, "architecture", model.architecture);
  add_member(report, "task", name_of(model.task()));
  add_member(report, "output_stride", model.output_stride);
  add_member(report, "aux", model.has_aux);
  JsonText hyper = json_object();
  for (const Hyper::Choice& choice : model.choices)
    add_member(hyper, choice.key, json_object({{"value", choice.value}, {"assumed", choice.assumed}}));
  add_member(report, "hyper", hyper);
  if (!model.choice.empty()) add_member(report, "choice", model.choice);
  add_member(report, "classes", json_list(model.classes));
  add_member(report, "preprocessing", preparation_json(model));
  add_member(report, "answer", name_of(model.answer().decision));
  add_member(report, "logits", model.logits());
  add_member(report, "background", model.background);
  add_member(report, "at",
             json_object({{"width", network.width},
                          {"height", network.height},
                          {"gmac", static_cast<double>(network.macs) / 1e9},
                          {"weight_bytes", model.packed_bytes()},
                          {"arena_bytes", network.arena_bytes},
                          {"crf_bytes", crf_bytes(network)}}));
  if (model.answer().crf) add_member(report, "crf", crf_json(*model.answer().crf));
}

JsonText in_json(const Checkpoint& checkpoint, const Network& network, const InspectArguments& options,
                 const std::string& sha256) {
  JsonText report = json_object({{"file", options.file}});
  add_members(report, network);
  const Tensors tensors = count_tensors(checkpoint.state);
  JsonText dtypes = json_object();
  for (const auto& [name, count] : tensors.by_dtype) add_member(dtypes, name, count);
  add_member(report, "tensors", tensors.count);
  add_member(report, "parameters", tensors.parameters);
  add_member(report, "dtypes", dtypes);
  if (tensors.quantised > 0)
    add_member(report, "quantised", json_object({{"layers", tensors.quantised}, {"of", tensors.filters}}));
  add_member(report, "container", name_of(checkpoint.container));
  add_member(report, "notes", json_list(checkpoint.notes));
  add_member(report, "sha256", sha256);
  if (!options.tensors || checkpoint.state.entries().empty()) return report;
  JsonText state = json_object();
  for (const auto& [name, tensor] : checkpoint.state.entries())
    add_member(state, name,
               json_object({{"dtype", name_of(tensor.dtype)}, {"shape", json_list(tensor.shape)}}));
  add_member(report, "state", state);
  return report;
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

std::string in_words(const Checkpoint& checkpoint, const Network& network, const std::string& sha256) {
  std::string out;
  const auto line = [&](std::string_view name, const std::string& value) {
    out += str_cat(name, std::string(name.size() < 15 ? 16 - name.size() : 2, ' '),
                   visible(value, Newlines::kept), '\n');
  };
  if (!network.model) {
    line("architecture", "not one that atrous runs: " + network.reason);
  } else {
    const Model& model = *network.model;
    line("architecture", model.architecture + (model.has_aux ? ", with an auxiliary head" : ""));
    std::vector<std::string> given, assumed;
    for (const Hyper::Choice& choice : model.choices)
      (choice.assumed ? assumed : given).push_back(str_cat(choice.key, '=', choice.value));
    if (!given.empty()) line("given", joined(given));
    if (!assumed.empty()) line("assumed", joined(assumed) + " (the weights do not say: --arch)");
    if (!model.choice.empty()) line("", model.choice);
    line("classes", str_cat(model.classes.size(), ": ", joined(model.classes)));
    line("photos", summary(model));
    if (model.answer().decision == Decision::sigmoid)
      line("answer",
           str_cat("one logit: ", model.classes[1], " where its sigmoid is above the threshold of 0.5"));
    line(str_cat("at ", network.width, 'x', network.height),
         fixed(static_cast<double>(network.macs) / 1e9, 1) + " GMAC, " + megabytes(model.packed_bytes()) +
             " of weights, " + megabytes(network.arena_bytes) + " of activations and workspace" +
             (network.finds_instances() ? "; the heads work besides, for each proposal and each instance"
                                        : "; about " + megabytes(crf_bytes(network)) + " more with --crf"));
    if (const auto& crf = model.answer().crf) line("--crf", in_words(*crf));
  }
  const Tensors tensors = count_tensors(checkpoint.state);
  line("parameters", str_cat(tensors.parameters));
  std::vector<std::string> dtypes;
  for (const auto& [name, count] : tensors.by_dtype) dtypes.push_back(str_cat(count, ' ', name));
  line("tensors", str_cat(tensors.count, " (", joined(dtypes), ")"));
  if (tensors.quantised > 0)
    line("quantised", str_cat("to 8 bits, ", tensors.quantised, " of ", tensors.filters, " convolutions"));
  line("container", std::string(name_of(checkpoint.container)));
  for (const std::string& note : checkpoint.notes) line("", note);
  if (!sha256.empty()) line("sha256", sha256);
  return out;
}

#if ATROUS_HAS_EXPLAIN
constexpr std::string_view all_layers = "true";  // CLI11's value of an option without one

std::string layer_of(const std::vector<std::string>& explain) {
  return explain.front() == all_layers ? "" : explain.front();
}
#endif

int run(const InspectArguments& options) {
  const Checkpoint checkpoint = open_checkpoint(options.file, options.weights);
  const Network network = examine(checkpoint, options);
#if ATROUS_HAS_EXPLAIN
  if (!options.explain.empty() || !options.graph.empty()) {
    if (!network.model) fail(ErrorCode::unsupported, options.file, ": ", network.reason);
    const Explained e{*network.model, checkpoint, network.width, network.height, options.threads};
    if (!options.graph.empty()) naming(options.graph, [&] { write_graph(e, options.graph); });
    if (options.explain.empty()) return 0;
    const std::string layer = layer_of(options.explain);
    print(options.json ? json_output(explained_in_json(e, options.file, layer)) : explained(e, layer));
    return 0;
  }
#endif
  const std::string sha256 = sha256_of_model(options.file);
  if (options.json) {
    print(json_output(in_json(checkpoint, network, options, sha256)));
    return 0;
  }
  print(in_words(checkpoint, network, sha256));
  if (!options.tensors) return 0;
  Table table({"tensor", "dtype", "shape"});
  for (const auto& [name, tensor] : checkpoint.state.entries())
    table.add({name, std::string(name_of(tensor.dtype)), shape_text(tensor.shape)});
  print('\n' + table.plain());
  return 0;
}

}  // namespace

Action add_inspect(Verb& verb) {
  auto options = std::make_shared<InspectArguments>();
  verb.add_option("model", options->file,
                  "Checkpoint: .pth, .safetensors, a folder with one, or a model's name")
      .type_name("MODEL")
      .required();
  add_weights_option(verb, options->weights);
  verb.add_option("--size", options->size, "Input size for work and memory, WIDTHxHEIGHT")
      .type_name("WIDTHxHEIGHT")
      .show_default();
  verb.add_option("--threads", options->threads, "Threads the memory is predicted for; 0 for all")
      .whole_number(0, 1024);
  add_arch_option(verb, options->arch);
  verb.add_flag("--tensors", options->tensors, "List every tensor");
  verb.add_flag("--json", options->json, "Print JSON");
#if ATROUS_HAS_EXPLAIN
  verb.add_option("--explain", options->explain,
                  "List every layer: its output, work, receptive field, taps in the padding and what runs "
                  "it; or tell "
                  "of one, or of those whose names begin so")
      .type_name("[LAYER]")
      .expected(0, 1);
  verb.add_option("--graph", options->graph, "Draw the network as it runs: .dot, or .svg by Graphviz's dot")
      .type_name("FILE");
#endif
  verb.footer(
      "Examples:\n"
      "  atrous inspect deeplabv3_resnet101_coco-586e9e4e.pth\n"
      "  atrous inspect fcn_resnet50.safetensors --size 1024x768 --json\n"
      "  atrous inspect seeded:deeplabv3_resnet50 --explain classifier.0");
  return [options] { return run(*options); };
}

}  // namespace atrous::cli
