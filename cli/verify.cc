// atrous verify MODEL
#include <algorithm>
#include <iomanip>

#include "cli/cli.h"
#include "cli/model_argument.h"
#include "layers/base/error.h"
#include "layers/base/visible_text.h"
#include "runtime/engine/compare.h"
#include "runtime/engine/open_device.h"
#include "runtime/engine/program.h"
#include "runtime/engine/self_test.h"
#include "runtime/image/npy.h"
#include "runtime/instances/compare_regions.h"
#include "runtime/instances/detector.h"
#include "runtime/segment/segmenter.h"
#include "weights_tools/io/file.h"
#include "weights_tools/io/json_output.h"

namespace atrous::cli {

namespace {

struct VerifyArguments {
  RunOptions run;
  RunOptions elsewhere;  // of what --device names
  std::string reference, device, input, size = "97x65";
  double tolerance = -1;  // not given
  bool all = false, json = false;
};

// Of a value, as a share of the largest. In bfloat16 a rounding is up to 0.002 of a value, and layers add up.
// In 8 bits the sums are exact, but what fp32 rounds otherwise before may fall to the next of 255 steps.
double tolerance_of(std::string_view precision) {
  return precision == name_of(Precision::fp32) ? 1e-4 : 0.02;
}

constexpr std::uint64_t most_npy_bytes = std::uint64_t{4} << 30;

// What one check found; the exit status is 1 where one does not hold.
struct Finding {
  std::string sentence;
  bool holds = true;
  JsonText json;
};

std::string scientific(double value) { return str_cat(std::scientific, std::setprecision(2), value); }

// Runs a check; where the logits are not finite, its error names the layer where they come from.
template <class Check>
auto naming_layer(Session& session, ConstView input, Check&& check) {
  try {
    return check();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::not_finite) throw;
    fail(error.code(), error.what(),
         "; the first layer whose output is not: ", first_not_finite(session, input));
  }
}

void check_finite(Session& session, ConstView input) {
  for (std::int64_t n = 0; n < input.shape.n; ++n)
    naming_layer(session, input, [&] { session.check_finite(n); });
}

Finding run_stored_test(const Model& model, const VerifyArguments& options, const SelfTest& test) {
  Session session(model.program, options.run.session_options());
  const Tensor input = self_test_input(test.height, test.width);
  const double deviation = naming_layer(session, input.view(), [&] { return run_self_test(session, test); });
  const double stored = static_cast<double>(test.tolerance);
  const std::string_view precision = model.program->precision();
  const bool exact = precision == name_of(Precision::fp32);
  const double tolerance = exact ? stored : std::max(stored, tolerance_of(precision));
  const bool holds = deviation <= tolerance;
  return {
      str_cat("self-test: ", test.logits.size(), " logits at ", test.width, "x", test.height,
              ", largest deviation ", scientific(deviation), " of the largest logit, tolerance ",
              scientific(tolerance), holds ? ": holds" : ": FAILS"),
      holds,
      json_object(
          {{"check", "self-test"}, {"deviation", deviation}, {"tolerance", tolerance}, {"holds", holds}})};
}

Tensor input_of(const VerifyArguments& options) {
  if (!options.input.empty()) return read_npy(read_file(options.input, most_npy_bytes), options.input);
  const auto [width, height] = parse_size(options.size);
  return self_test_input(height, width);
}

void add_members(JsonText& object, const Difference& d) {
  add_member(object, "max_abs", d.max_abs);
  add_member(object, "relative", d.relative);
  add_member(object, "cosine", d.cosine);
}

// An input for a graph of other channels than a picture's; that of a picture otherwise.
Tensor formula_input(const Shape& shape) {
  Tensor input(shape);
  std::int64_t i = 0;
  for (float& v : input.values()) {
    v = static_cast<float>((31 * i + 7 * (i % 13)) % 256) / 64.f - 2.f;
    ++i;
  }
  return input;
}

// Layer by layer against another model, graph by graph, on the same inputs. Prints the table of layers up to
// the first that diverges, or of all.
Finding compare_with(const std::string& what, const Model& model, const Model& other,
                     const VerifyArguments& options) {
  const Tensor picture = input_of(options);
  const auto stages = stages_of(model, picture.shape().h, picture.shape().w),
             others = stages_of(other, picture.shape().h, picture.shape().w);
  std::vector<LayerDifference> layers;
  for (std::size_t i = 0; i < std::min(stages.size(), others.size()); ++i) {
    Session examined(stages[i].program, options.run.session_options()),
        reference(others[i].program, options.run.session_options());
    const Tensor other_input = i == 0 ? Tensor() : formula_input(stages[i].input);
    const ConstView input = i == 0 ? picture.view() : other_input.view();
    const auto found = naming(what, [&] { return compare_layers(examined, reference, input); });
    layers.insert(layers.end(), found.begin(), found.end());
    check_finite(examined, input);
    check_finite(reference, input);
#if ATROUS_HAS_CUDA
    if (i > 0) continue;
    const auto regions = compare_regions(model, input, options.run.session_options());
    layers.insert(layers.end(), regions.begin(), regions.end());
#endif
  }
  if (stages.size() != others.size())
    fail(ErrorCode::mismatch, what, ": has ", others.size(), " graphs, the model ", stages.size());
  const auto diverges = std::ranges::find_if(
      layers, [&](const LayerDifference& l) { return !(l.difference.relative <= options.tolerance); });
  const bool holds = diverges == layers.end();
  Table table({"layer", "kind", "output", "max abs", "relative", "cosine"});
  std::vector<JsonText> rows;
  for (const LayerDifference& l : layers) {
    const auto& d = l.difference;
    add_members(rows.emplace_back(json_object({{"layer", l.node}, {"kind", l.layer}})), d);
    table.add({l.node, std::string(l.layer), str_cat(l.shape), scientific(d.max_abs), scientific(d.relative),
               fixed(d.cosine, 9)});
  }
  const auto worst =
      std::ranges::max_element(layers, {}, [](const auto& l) { return l.difference.relative; });
  std::string sentence = options.all ? table.plain() : "";
  if (holds)
    sentence +=
        str_cat("against ", visible(what), ": ", layers.size(), " layers, largest relative deviation ",
                scientific(worst == layers.end() ? 0 : worst->difference.relative), " (",
                worst == layers.end() ? "none" : worst->node, "), tolerance ", scientific(options.tolerance),
                ": holds");
  else
    sentence +=
        str_cat("against ", visible(what), ": the first layer that diverges is ", diverges->node, " (",
                diverges->layer, "): max abs ", scientific(diverges->difference.max_abs), ", relative ",
                scientific(diverges->difference.relative), ", cosine ", fixed(diverges->difference.cosine, 9),
                ", tolerance ", scientific(options.tolerance), ": FAILS");
  return {sentence, holds,
          json_object({{"check", what},
                       {"layers", json_list(rows)},
                       {"tolerance", options.tolerance},
                       {"holds", holds},
                       {"first_divergence", holds ? JsonText() : JsonText(diverges->node)}})};
}

// Against logits at the input's size, as `atrous segment --logits` or torch gives them.
Finding compare_with_logits(const Model& model, const VerifyArguments& options) {
  if (model.task() == Task::instances)
    fail(ErrorCode::unsupported, options.reference, ": the ", model.architecture,
         " finds instances, it gives no logits at the input's size");
  const Tensor expected =
      read_npy(read_file(options.reference, most_npy_bytes), options.reference, model.logits());
  const Shape shape = expected.shape();
  const Tensor input = options.input.empty()
                           ? self_test_input(static_cast<int>(shape.h), static_cast<int>(shape.w))
                           : input_of(options);
  Session session(model.program, options.run.session_options());
  session.run(input.view());
  Difference worst;
  for (std::int64_t n = 0; n < input.shape().n; ++n) {
    const Tensor logits = naming_layer(session, input.view(), [&] {
      return full_logits(session, model, n, static_cast<int>(input.shape().h),
                         static_cast<int>(input.shape().w), Upsampling::bilinear);
    });
    if (n >= shape.n || logits.shape().h != shape.h || logits.shape().w != shape.w)
      fail(ErrorCode::mismatch, options.reference, ": holds logits ", shape, ", the input is ",
           input.shape());
    const ConstView reference{expected.view().pixel(n, 0, 0), logits.shape(), expected.view().pitch};
    const Difference d = difference(logits.view(), reference);
    if (!(d.relative <= worst.relative)) worst = d;
  }
  const bool holds = worst.relative <= options.tolerance;
  JsonText json =
      json_object({{"check", options.reference}, {"tolerance", options.tolerance}, {"holds", holds}});
  add_members(json, worst);
  return {str_cat("against ", options.reference, ": max abs ", scientific(worst.max_abs), ", relative ",
                  scientific(worst.relative), ", cosine ", fixed(worst.cosine, 9), ", tolerance ",
                  scientific(options.tolerance), holds ? ": holds" : ": FAILS"),
          holds, json};
}

Finding compare_devices(const Model& model, const VerifyArguments& options) {
  RunOptions elsewhere = options.elsewhere;
  if (is_device_name(options.device)) elsewhere.device = options.device;
  const ModelOptions there = elsewhere.model_options();
  if (there.device) {  // it is examined, and the processor is the reference
    ModelOptions here = options.run.model_options();
    here.device_layers = true;
    if (!here.precision) here.precision = Precision::fp32;  // as the device does with quantised weights
    const Model examined = open_model(options.run.model, there);
    return compare_with(str_cat(examined.program->runs_on(), ", ", examined.program->precision()), examined,
                        open_model(options.run.model, here), options);
  }
  ModelOptions other = options.run.model_options();
  if (options.device == "reference")
    other.force = options.device;
  else
    other.isa = isa_from_name(options.device);
  return compare_with("device " + options.device, model, open_model(options.run.model, other), options);
}

// Another file, whose prefixes are its own.
Model open_reference(const VerifyArguments& options) {
  ModelOptions of_reference = options.run.model_options();
  of_reference.weights.clear();
  return open_model(options.reference, of_reference);
}

int run(VerifyArguments options) {
  if (!options.input.empty() && options.reference.empty() && options.device.empty())
    throw UsageError{"--input needs --reference or --device to compare on it"};
  if (!is_device_name(options.device))
    options.elsewhere.model_options();  // none of a device's options is left
  Checkpoint checkpoint = open_checkpoint(options.run.model, options.run.weights);
  const auto metadata = checkpoint.metadata;
  const Model model = naming(options.run.model, [&] {
    ModelOptions model_options = options.run.model_options();
    model_options.name = options.run.model;
    model_options.config = checkpoint.config;
    model_options.arch = checkpoint.arch;
    model_options.normalisation = checkpoint.normalisation;
    return make_model(std::move(checkpoint.state), metadata, model_options);
  });
  if (options.tolerance < 0) options.tolerance = tolerance_of(model.program->precision());
  if (!checkpoint.choice.empty()) note(options.run.model + ": " + checkpoint.choice);
  std::vector<Finding> findings;
  const bool of_int8 = metadata && !metadata->activations.empty();
  const bool of_other_numbers = of_int8 && model.program->precision() != name_of(Precision::int8);
  if (metadata && metadata->self_test && !of_other_numbers)
    findings.push_back(run_stored_test(model, options, *metadata->self_test));
  if (options.reference.ends_with(".npy"))
    findings.push_back(compare_with_logits(model, options));
  else if (!options.reference.empty())
    findings.push_back(compare_with(options.reference, model, open_reference(options), options));
  if (!options.device.empty()) findings.push_back(compare_devices(model, options));
  if (findings.empty() && of_other_numbers)
    fail(ErrorCode::unsupported, options.run.model, ": the self-test is of the network in int8, not in ",
         model.program->precision(), "; --reference or --device compare it with something");
  if (findings.empty())
    fail(ErrorCode::unsupported, options.run.model,
         ": holds no self-test (atrous convert stores one); --reference or --device compare it with "
         "something");

  if (options.json) print(json_output(json_list(findings, [](const Finding& f) { return f.json; })));
  for (const Finding& f : findings)
    if (!options.json) print(visible(f.sentence, Newlines::kept) + '\n');
  return std::ranges::all_of(findings, &Finding::holds) ? 0 : 1;
}

}  // namespace

Action add_verify(Verb& verb) {
  auto o = std::make_shared<VerifyArguments>();
  verb.add_option("model", o->run.model, "Checkpoint: .pth, .safetensors, or a model's name")
      .type_name("MODEL")
      .required();
  add_weights_option(verb, o->run.weights);
  verb.add_option("--reference", o->reference,
                  "Another model of the same architecture, compared layer by layer; or logits, .npy, N x C x "
                  "H x W at the "
                  "input's size")
      .type_name("MODEL");
  std::vector<std::string> devices{"reference"};
  for (const Isa isa : supported_isas()) devices.emplace_back(name_of(isa));
  devices.emplace_back("cuda");
  verb.add_option(
          "--device", o->device,
          "The same model on another back end, layer by layer: an instruction set, the plain loops that "
          "define each layer, or cuda[:NUMBER]")
      .one_of(devices, device_name);
  add_precision_options(verb, o->elsewhere, "With --device cuda");
  verb.add_option("--input", o->input,
                  "Normalised input to compare on, .npy, N x 3 x H x W (default: a formula's)")
      .type_name("FILE");
  verb.add_option("--size", o->size, "Size of the formula's input").type_name("WIDTHxHEIGHT").show_default();
  verb.add_option(
          "--tolerance", o->tolerance,
          "Most that a value may deviate, as a share of the layer's largest (default: 0.0001, in bf16 0.02)")
      .range(0.0, 1.0);
  verb.add_flag("--all", o->all, "List every layer");
  verb.add_flag("--json", o->json, "Print JSON");
  add_run_options(verb, o->run);
  verb.footer(
      "Runs the self-test stored in the file, if there is one. Exit status 1 where a check fails.\n\n"
      "Examples:\n"
      "  atrous verify default\n"
      "  atrous verify camvid.safetensors --reference camvid.pth --all\n"
      "  atrous verify deeplabv3_resnet50.safetensors --device reference");
  return [o] { return run(*o); };
}

}  // namespace atrous::cli
