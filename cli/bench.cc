// atrous bench MODEL and atrous profile MODEL
#include <algorithm>
#include <chrono>
#include <filesystem>

#include "cli/cli.h"
#include "cli/model_argument.h"
#include "layers/base/error.h"
#include "layers/networks/family.h"
#include "runtime/engine/plan.h"
#if ATROUS_HAS_EXPLAIN
#include "runtime/explain/arena_drawing.h"
#include "weights_tools/io/file.h"
#endif
#include "runtime/instances/detector.h"
#include "runtime/segment/segmenter.h"
#include "weights_tools/io/json_output.h"

namespace atrous::cli {

namespace {

struct BenchArguments {
  RunOptions run;
  std::string size = "520x520", format = "md";
#if ATROUS_HAS_EXPLAIN
  std::string arena;
#endif
  int batch = 0, runs = 10, warmup = 2;  // batch 0: 1, and on a device 8 and 32 too
};

void add_options(Verb& verb, BenchArguments& options) {
  verb.add_option("model", options.run.model,
                  "Checkpoint, or a network by name with random weights: deeplabv3_resnet50, "
                  "lraspp_mobilenet_v3_large, ... (atrous networks lists them)")
      .type_name("MODEL")
      .required();
  add_weights_option(verb, options.run.weights);
  verb.add_option("--size", options.size, "Input size, WIDTHxHEIGHT")
      .type_name("WIDTHxHEIGHT")
      .show_default();
  verb.add_option("--batch", options.batch, "Images per run (default: 1; bench --device cuda: 1, 8 and 32)")
      .whole_number(1, 1024);
  verb.add_option("--runs", options.runs, "Counted runs").whole_number(1, 100000).show_default();
  verb.add_option("--warmup", options.warmup, "Runs before them").whole_number(0, 1000).show_default();
  verb.add_option("-o,--format", options.format, "md, json or csv").one_of({"md", "json", "csv"});
  add_device_options(verb, options.run);
  add_run_options(verb, options.run);
}

std::string format(const Table& table, const std::string& name) {
  return name == "csv" ? table.csv() : table.markdown();
}

// Values in the range of a normalised photo, never zero or subnormal for long.
Tensor random_input(const Shape& shape) {
  Tensor input(shape);
  std::uint32_t state = 1;
  for (float& v : input.values()) {
    state = state * 1664525u + 1013904223u;
    v = static_cast<float>(state >> 8) * 0x1p-24f * 4.f - 2.f;
  }
  return input;
}

// A network's name is no path: "deeplabv3_resnet50" means its seeded weights unless a file of that name
// exists.
Model open_bench_model(const RunOptions& options) {
  const std::string& name = options.model;
  const bool like_a_variant =
      std::ranges::any_of(families(), [&](const Family& family) { return name.starts_with(family.name); });
  const bool named = (like_a_variant || family_of(name)) && name.find_first_of("./") == name.npos &&
                     !std::filesystem::exists(name);
  return open_model(named ? "seeded:" + name : name, options.model_options());
}

double median(std::vector<double> v) {
  std::ranges::sort(v);
  const std::size_t half = v.size() / 2;
  return v.size() % 2 ? v[half] : (v[half - 1] + v[half]) / 2;
}

double percentile(std::vector<double> v, double p) {
  std::ranges::sort(v);
  return v[static_cast<std::size_t>(p * static_cast<double>(v.size() - 1) + 0.5)];
}

// The same as a picture.
Image random_picture(int width, int height) {
  Image picture = make_image(width, height, 3);
  std::uint32_t state = 1;
  for (std::uint8_t& v : picture.pixels) {
    state = state * 1664525u + 1013904223u;
    v = static_cast<std::uint8_t>(state >> 24);
  }
  return picture;
}

void label_all(Session& session, const Shape& input) {
  for (std::int64_t n = 0; n < input.n; ++n)
    label(session, n, static_cast<int>(input.h), static_cast<int>(input.w), nullptr);
}
// One run: the network, then upsampling and argmax of every image, as a photo of the input's size would have
// it.
void run_once(Session& session, ConstView input) {
  session.run(input);
  label_all(session, input.shape);
}

template <class Run>
double timed(Run&& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

struct Measurement {
  std::string architecture, device;
  std::string_view precision;
  int batch = 1, threads = 1;
  double first = 0;
  std::vector<double> seconds;        // with the copies to a device and back
  std::vector<double> network_alone;  // on a device: without them
  std::int64_t macs = 0;
  std::size_t weights = 0, arena = 0;

  double gflops() const { return 2e-9 * static_cast<double>(macs) / median(seconds); }
  double images_per_second() const { return batch / median(seconds); }
};

// From a picture to its instances, all graphs and what lies between them.
Measurement measure_instances(const Model& model, const BenchArguments& options, int batch) {
  if (batch > 1)
    throw UsageError{
        str_cat("--batch ", batch, ": the ", model.architecture, " takes one picture at a time")};
  const auto [width, height] = parse_size(options.size);
  Detector detector(model, options.run.session_options());
  const Image picture = random_picture(width, height);
  Measurement m{.architecture = model.architecture,
                .device = model.program->runs_on(),
                .precision = model.program->precision(),
                .threads = detector.trunk().threads(),
                .seconds = {},
                .network_alone = {}};
  m.first = timed([&] { m.macs = detector.detect(picture).macs; });
  for (int i = 0; i < options.warmup; ++i) detector.detect(picture);
  for (int i = 0; i < options.runs; ++i) m.seconds.push_back(timed([&] { detector.detect(picture); }));
  m.weights = model.packed_bytes();
  m.arena = detector.memory_bytes() - m.weights;
  return m;
}

Measurement measure(const Model& model, const BenchArguments& options, int batch) {
  if (model.task() == Task::instances) return measure_instances(model, options, batch);
  const auto [width, height] = parse_size(options.size);
  Session session(model.program, options.run.session_options());
  const Tensor input = random_input({batch, height, width, 3});
  Measurement m{.architecture = model.architecture,
                .device = model.program->runs_on(),
                .precision = model.program->precision(),
                .batch = batch,
                .threads = session.threads(),
                .seconds = {},
                .network_alone = {}};
  m.first = timed([&] { run_once(session, input.view()); });
  for (int i = 0; i < options.warmup; ++i) run_once(session, input.view());
  for (int i = 0; i < options.runs; ++i) m.seconds.push_back(timed([&] { run_once(session, input.view()); }));
  if (model.program->device)
    for (int i = 0; i < options.runs; ++i) m.network_alone.push_back(session.repeat());
  m.macs = session.plan(input.shape()).macs;
  m.weights = model.program->packed_bytes();
  m.arena = session.arena_bytes();
  return m;
}

JsonText in_json(const Measurement& m, const std::string& size, int runs) {
  const auto [width, height] = parse_size(size);
  JsonText report = json_object({{"architecture", m.architecture},
                                 {"width", width},
                                 {"height", height},
                                 {"batch", m.batch},
                                 {"threads", m.threads},
                                 {"device", m.device},
                                 {"precision", m.precision},
                                 {"runs", runs},
                                 {"median_ms", median(m.seconds) * 1e3},
                                 {"min_ms", std::ranges::min(m.seconds) * 1e3},
                                 {"p90_ms", percentile(m.seconds, 0.9) * 1e3},
                                 {"first_ms", m.first * 1e3},
                                 {"images_per_second", m.images_per_second()},
                                 {"gflops", m.gflops()},
                                 {"weight_bytes", m.weights},
                                 {"arena_bytes", m.arena},
                                 {"peak_resident_bytes", peak_resident_bytes()}});
  if (!m.network_alone.empty()) add_member(report, "network_alone_ms", median(m.network_alone) * 1e3);
  return report;
}

int bench(const BenchArguments& options) {
  // On a device, unless it is said: latency, and what batches give, in every precision.
  const bool all = !options.run.on_cpu() && options.batch == 0;
  std::vector<Measurement> measured;
  std::vector<RunOptions> ways{options.run};
  if (all && !options.run.fp16 && !options.run.tf32) {
    ways.resize(3, options.run);
    ways[1].tf32 = ways[2].fp16 = true;
  }
  for (const RunOptions& way : ways) {
    const Model model = open_bench_model(way);
    const bool batches = all && model.task() == Task::semantic;
    for (const int batch : batches ? std::vector{1, 8, 32} : std::vector{std::max(1, options.batch)})
      measured.push_back(measure(model, options, batch));
  }

  if (options.format == "json") {
    std::vector<JsonText> rows;
    for (const Measurement& m : measured) rows.push_back(in_json(m, options.size, options.runs));
    print(json_output(all ? json_list(rows) : rows.front()));
    return 0;
  }
  Table table({"network", "input", "batch", "threads", "device", "precision", "median ms", "min ms", "p90 ms",
               "first ms", "alone ms", "images/s", "GFLOP/s", "weights MB", "arena MB", "peak MB"});
  const auto mb = [](std::size_t bytes) { return fixed(static_cast<double>(bytes) / 1e6, 1); };
  const auto ms = [](double seconds) { return fixed(seconds * 1e3, seconds < 0.01 ? 3 : 1); };
  for (const Measurement& m : measured)
    table.add({m.architecture, options.size, str_cat(m.batch), str_cat(m.threads), m.device,
               std::string(m.precision), ms(median(m.seconds)), ms(std::ranges::min(m.seconds)),
               ms(percentile(m.seconds, 0.9)), ms(m.first),
               m.network_alone.empty() ? "-" : ms(median(m.network_alone)), fixed(m.images_per_second(), 1),
               fixed(m.gflops(), 1), mb(m.weights), mb(m.arena), mb(peak_resident_bytes())});
  print(format(table, options.format));
  return 0;
}

// What the nodes of one graph take, and what follows them: labels, on a device also the copies.
struct Profile {
  std::vector<double> seconds;  // by node
  double rest = 0;
};

// `answer`: whether each run ends in labels.
Profile profile_graph(Session& session, ConstView input, const BenchArguments& options, bool answer) {
  const std::size_t nodes = session.program().graph.nodes.size();
  std::vector<std::vector<double>> seconds(nodes);
  std::vector<double> rest;
  const auto run = [&] { answer ? run_once(session, input) : session.run(input); };
  for (int i = 0; i < options.warmup; ++i) run();
  for (int i = 0; i < options.runs; ++i) {
    double in_nodes = 0;
    session.run(input, [&](std::size_t node, double s, ConstView) {
      seconds[node].push_back(s);
      in_nodes += s;
    });
    // An observed run takes longer: it shows every map as floats, in the host's memory.
    if (session.program().device)
      rest.push_back(std::max(0., timed(run) - in_nodes));
    else if (answer)
      rest.push_back(timed([&] { label_all(session, input.shape); }));
  }
  Profile out{.seconds = {}, .rest = rest.empty() ? 0 : median(std::move(rest))};
  for (auto& of_node : seconds) out.seconds.push_back(of_node.empty() ? 0 : median(std::move(of_node)));
  return out;
}

int profile(const BenchArguments& options) {
  const auto [width, height] = parse_size(options.size);
  const Model model = open_bench_model(options.run);
  const bool semantic = model.task() == Task::semantic;
  if (!semantic && options.batch > 1)
    throw UsageError{
        str_cat("--batch ", options.batch, ": the ", model.architecture, " takes one picture at a time")};
  struct Row {
    std::string node, output;
    std::string_view layer = {}, how = {};
    double seconds = 0, gmac = 0;
    std::size_t workspace = 0;
  };
  std::vector<Row> rows;
  double total = 0;
  std::int64_t all_macs = 0;
  std::size_t most_workspace = 0;
  for (const Stage& stage : stages_of(model, height, width)) {
    Session session(stage.program, options.run.session_options());
    Shape shape = stage.input;
    if (semantic) shape.n = std::max(1, options.batch);
    const Tensor input = random_input(shape);
    const Profile found = profile_graph(session, input.view(), options, semantic);
    const Plan plan = session.plan(input.shape());
#if ATROUS_HAS_EXPLAIN
    if (!options.arena.empty() && rows.empty()) {
      const std::string drawing = arena_in_svg(*stage.program, plan);
      write_file(options.arena, std::as_bytes(std::span(drawing)));
    }
#endif
    const auto& nodes = stage.program->graph.nodes;
    std::vector<Shape> shapes;
    for (const auto& place : plan.places) shapes.push_back(place.shape);
    double in_nodes = 0;
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      Row row{.node = nodes[i].name,
              .output = str_cat(shapes[static_cast<std::size_t>(nodes[i].output)]),
              .layer = name_of(nodes[i].layer),
              .how = "in place"};
      if (!plan.steps[i].in_place) {
        row.how = plan.steps[i].kernel->name();
        row.seconds = found.seconds[i];
        row.gmac = static_cast<double>(macs(nodes[i], shapes)) / 1e9;
        row.workspace = plan.steps[i].workspace;
        in_nodes += row.seconds;
      }
      rows.push_back(std::move(row));
    }
    if (semantic)
      rows.push_back({.node = model.program->device ? "copies, upsample + argmax" : "upsample + argmax",
                      .output = str_cat(width, 'x', height),
                      .how = model.program->device ? "" : "bands",
                      .seconds = found.rest});
    total += in_nodes + found.rest;
    all_macs += plan.macs;
    most_workspace = std::max(most_workspace, plan.workspace_bytes);
  }
  const std::string runs_on = model.program->runs_on();
  rows.push_back({.node = "total",
                  .output = "",
                  .how = runs_on,
                  .seconds = total,
                  .gmac = static_cast<double>(all_macs) / 1e9,
                  .workspace = most_workspace});

  Table table(
      {"node", "layer", "output", "implementation", "ms", "share", "GMAC", "GFLOP/s", "workspace KB"});
  std::vector<JsonText> json;
  for (const Row& row : rows) {
    const double gflops = row.seconds > 0 ? 2 * row.gmac / row.seconds : 0;
    table.add({row.node, std::string(row.layer), row.output, std::string(row.how),
               fixed(row.seconds * 1e3, 3), fixed(100 * row.seconds / total, 1) + "%", fixed(row.gmac, 3),
               fixed(gflops, 1), str_cat(row.workspace / 1000)});
    json.push_back(json_object({{"node", row.node},
                                {"layer", row.layer},
                                {"output", row.output},
                                {"implementation", row.how},
                                {"ms", row.seconds * 1e3},
                                {"share", row.seconds / total},
                                {"gmac", row.gmac},
                                {"gflops", gflops},
                                {"workspace_bytes", row.workspace}}));
  }
  print(options.format == "json" ? json_output(json_list(json)) : format(table, options.format));
  return 0;
}

}  // namespace

Action add_bench(Verb& verb) {
  auto options = std::make_shared<BenchArguments>();
  add_options(verb, *options);
  verb.footer(
      "Times the network with upsampling and argmax, or all steps to instances, without files. GFLOP/s count "
      "the direct algorithm. On "
      "cuda the\n"
      "times hold the copies to the device and back; the network alone, without, is apart. Without --batch "
      "and a\n"
      "precision, batches 1, 8 and 32 in fp32, tf32 and fp16.\n\n"
      "Examples:\n"
      "  atrous bench deeplabv3_resnet50 --threads 1\n"
      "  atrous bench lraspp_mobilenet_v3_large\n"
      "  atrous bench fcn_resnet101_coco-7ecb50ca.pth --size 640x480 -o json");
  return [options] { return bench(*options); };
}

Action add_profile(Verb& verb) {
  auto options = std::make_shared<BenchArguments>();
  add_options(verb, *options);
#if ATROUS_HAS_EXPLAIN
  verb.add_option("--arena", options->arena, "Draw how activations lie in memory, time by bytes, as SVG")
      .type_name("FILE");
#endif
  verb.footer(
      "Of a model that finds instances: each graph by itself, the heads for as many regions as they take at "
      "once.\n\n"
      "Examples:\n"
      "  atrous profile deeplabv3_resnet50 --threads 1\n"
      "  atrous profile default --runs 1 --arena arena.svg\n"
      "  atrous profile fcn_resnet50 --isa avx2 -o csv");
  return [options] { return profile(*options); };
}

}  // namespace atrous::cli
