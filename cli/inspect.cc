// atrous inspect FILE
#include <CLI/CLI.hpp>
#include <charconv>
#include <iomanip>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "cli/cli.h"
#include "cli/json_output.h"
#include "cli/models.h"
#include "layers/base/error.h"
#include "layers/base/visible_text.h"
#include "layers/cpu/parallel.h"
#include "runtime/image/preprocess.h"
#include "weights_tools/checkpoint.h"

namespace atrous::cli {

namespace {

struct Options {
  std::string file, weights, arch, size = "520x520";
  bool json = false, tensors = false;
  int threads = 0;
};

// Parameters as torch counts them: what training changes, not the statistics beside it.
bool is_parameter(const std::string& name) {
  return !name.ends_with(".running_mean") && !name.ends_with(".running_var") &&
         !name.ends_with(".num_batches_tracked");
}

nlohmann::ordered_json describe_tensors(const StateDict& state) {
  std::map<std::string, std::int64_t> by_dtype;
  std::int64_t parameters = 0;
  for (const auto& [name, tensor] : state.entries()) {
    ++by_dtype[std::string(name_of(tensor.dtype))];
    if (is_parameter(name)) parameters += tensor.elements();
  }
  return {{"tensors", state.size()}, {"parameters", parameters}, {"dtypes", by_dtype}};
}

// The shortest digits that give the same float: 0.485 and not 0.48500001430511475.
double shortest(float value) {
  double out = 0;
  for (int precision = 1; precision <= 9; ++precision) {
    const std::string digits = text(std::setprecision(precision), value);
    std::from_chars(digits.data(), digits.data() + digits.size(), out);
    if (static_cast<float>(out) == value) break;
  }
  return out;
}

nlohmann::ordered_json in_json(const Preparation& p) {
  const auto three = [](const std::array<float, 3>& v) {
    return nlohmann::ordered_json{shortest(v[0]), shortest(v[1]), shortest(v[2])};
  };
  return {{"resize", in_words(p.resize)},
          {"order", name_of(p.order)},
          {"range", p.range},
          {"mean", three(p.mean)},
          {"std", three(p.std)},
          {"summary", in_words(p.resize) + "; " + in_words(p)}};
}

// What the network is and takes, or why it is none that atrous runs.
nlohmann::ordered_json describe_network(const Checkpoint& checkpoint, const Options& options) {
  const auto [width, height] = parse_size(options.size);
  nlohmann::ordered_json out;
  try {
    const Model model = make_model(checkpoint.state, checkpoint.metadata,
                                   {.name = options.file,
                                    .hyper = parse_arch(options.arch),
                                    .threads = options.threads,
                                    .config = checkpoint.config,
                                    .arch = checkpoint.arch,
                                    .normalisation = checkpoint.normalisation});
    const Plan plan = make_plan(*model.program, {1, height, width, 3}, resolve_threads(options.threads));
    out["architecture"] = model.architecture;
    out["output_stride"] = model.output_stride;
    out["aux"] = model.has_aux;
    out["hyper"] = nlohmann::ordered_json::object();
    for (const Hyper::Choice& choice : model.choices)
      out["hyper"][choice.key] = {{"value", choice.value}, {"assumed", choice.assumed}};
    if (!model.choice.empty()) out["choice"] = model.choice;
    out["classes"] = model.classes;
    out["preprocessing"] = in_json(model.preparation);
    out["answer"] = name_of(model.answer().decision);
    out["logits"] = model.logits();
    out["background"] =
        model.background ? nlohmann::ordered_json(*model.background) : nlohmann::ordered_json();
    out["at"] = {{"width", width},
                 {"height", height},
                 {"gmac", static_cast<double>(plan.macs) / 1e9},
                 {"weight_bytes", model.program->packed_bytes()},
                 {"arena_bytes", plan.arena_bytes()}};
  } catch (const Error& error) {
    if (!options.arch.empty() && error.code() == ErrorCode::invalid_argument)
      fail(error.code(), options.file, ": ", error.what());
    out["architecture"] = nullptr;
    out["reason"] = error.what();
  }
  return out;
}

std::string in_words(const nlohmann::ordered_json& report) {
  std::string out;
  const auto line = [&](std::string_view name, const std::string& value) {
    out += text(name, std::string(name.size() < 15 ? 16 - name.size() : 2, ' '),
                visible(value, Newlines::kept), '\n');
  };
  if (report["architecture"].is_null()) {
    line("architecture", "not one that atrous runs: " + report["reason"].get<std::string>());
  } else {
    const auto& at = report["at"];
    std::string classes;
    for (const auto& name : report["classes"])
      classes += (classes.empty() ? "" : ", ") + name.get<std::string>();
    line("architecture", report["architecture"].get<std::string>() +
                             (report["aux"].get<bool>() ? ", with an auxiliary head" : ""));
    std::string given, assumed;
    for (const auto& [key, choice] : report["hyper"].items()) {
      std::string& words = choice["assumed"].get<bool>() ? assumed : given;
      words += text(words.empty() ? "" : ", ", key, "=", choice["value"].get<std::string>());
    }
    if (!given.empty()) line("given", given);
    if (!assumed.empty()) line("assumed", assumed + " (the weights do not say: --arch)");
    if (report.contains("choice")) line("", report["choice"].get<std::string>());
    line("classes", text(report["classes"].size(), ": ", classes));
    line("photos", report["preprocessing"]["summary"].get<std::string>());
    if (report["answer"] == name_of(Decision::sigmoid))
      line("answer", text("one logit: ", report["classes"][1].get<std::string>(),
                          " where its sigmoid is above the threshold of 0.5"));
    line("at " + text(at["width"].get<int>(), 'x', at["height"].get<int>()),
         fixed(at["gmac"].get<double>(), 1) + " GMAC, " + megabytes(at["weight_bytes"].get<std::uint64_t>()) +
             " of weights, " + megabytes(at["arena_bytes"].get<std::uint64_t>()) +
             " of activations and workspace");
  }
  line("parameters", text(report["parameters"].get<std::int64_t>()));
  std::string dtypes;
  for (const auto& [name, count] : report["dtypes"].items())
    dtypes += (dtypes.empty() ? "" : ", ") + text(count.get<std::int64_t>(), ' ', name);
  line("tensors", text(report["tensors"].get<std::size_t>(), " (", dtypes, ")"));
  line("container", report["container"].get<std::string>());
  for (const auto& note : report["notes"]) line("", note.get<std::string>());
  if (!report["sha256"].get<std::string>().empty()) line("sha256", report["sha256"].get<std::string>());
  return out;
}

int run(const Options& options) {
  const Checkpoint checkpoint = open_checkpoint(options.file, options.weights);
  nlohmann::ordered_json report{{"file", options.file}};
  report.update(describe_network(checkpoint, options));
  report.update(describe_tensors(checkpoint.state));
  report["container"] = name_of(checkpoint.container);
  report["notes"] = checkpoint.notes;
  report["sha256"] = sha256_of_model(options.file);
  if (options.json) {
    if (options.tensors)
      for (const auto& [name, tensor] : checkpoint.state.entries())
        report["state"][name] = {{"dtype", name_of(tensor.dtype)}, {"shape", tensor.shape}};
    print(json_output(report));
    return 0;
  }
  print(in_words(report));
  if (!options.tensors) return 0;
  Table table({"tensor", "dtype", "shape"});
  for (const auto& [name, tensor] : checkpoint.state.entries())
    table.add({name, std::string(name_of(tensor.dtype)), shape_text(tensor.shape)});
  print('\n' + table.plain());
  return 0;
}

}  // namespace

Action add_inspect(CLI::App& verb) {
  auto options = std::make_shared<Options>();
  verb.add_option("model", options->file,
                  "Checkpoint: .pth, .safetensors, a folder with one, or a model's name")
      ->type_name("MODEL")
      ->required();
  add_weights_option(verb, options->weights);
  verb.add_option("--size", options->size, "Input size for work and memory, WIDTHxHEIGHT")
      ->type_name("WIDTHxHEIGHT")
      ->capture_default_str();
  verb.add_option("--threads", options->threads, "Threads the memory is predicted for; 0 for all")
      ->check(whole_number(0, 1024));
  add_arch_option(verb, options->arch);
  verb.add_flag("--tensors", options->tensors, "List every tensor");
  verb.add_flag("--json", options->json, "Print JSON");
  verb.footer(
      "Examples:\n"
      "  atrous inspect deeplabv3_resnet101_coco-586e9e4e.pth\n"
      "  atrous inspect fcn_resnet50.safetensors --size 1024x768 --json");
  return [options] { return run(*options); };
}

}  // namespace atrous::cli
