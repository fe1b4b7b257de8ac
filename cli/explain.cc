#include "cli/explain.h"

#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "cli/cli.h"
#include "cli/suggest.h"
#include "layers/base/error.h"
#include "layers/base/visible_text.h"
#include "layers/cpu/parallel.h"
#include "layers/networks/segmentation.h"
#include "runtime/explain/graph_text.h"
#include "runtime/explain/layer_facts.h"
#include "runtime/instances/detector.h"
#include "weights_tools/io/file.h"
#include "weights_tools/io/json_output.h"

namespace atrous::cli {

namespace {

struct Planned {
  Shape input;
  Plan plan;
};

Planned plan_of(const Explained& e) {
  const Stage first = stages_of(e.model, e.height, e.width).front();
  const Shape input = padded_shape(first.program->padding, first.input);
  return {input, make_plan(*e.model.program, input, resolve_threads(e.threads))};
}

std::string percent(double share) { return fixed(100 * share, 0) + '%'; }

std::string side(const ReceptiveField& f) { return f.all ? "all" : str_cat(std::lround(f.field)); }

std::string field_in_words(const LayerFacts& f) {
  const std::string w = side(f.width), h = side(f.height);
  return w == h && f.width.all ? w : w + 'x' + h;
}

// The sides of a convolution's kernel; 1 for other layers.
std::int64_t taps_of(const Layer& layer) {
  const auto* conv = std::get_if<Conv2d>(&layer);
  return conv ? conv->weight.kernel_h * conv->weight.kernel_w : 1;
}

std::string runs_as(const LayerFacts& f) {
  if (!f.runs_in) return "nothing";
  return f.runs_in->name == f.node->name ? std::string(f.kernel) : "in " + f.runs_in->name;
}

std::string gmac(const LayerFacts& f) {
  return f.macs == 0 ? "" : fixed(static_cast<double>(f.macs) / 1e9, 3);
}

std::string table_of(const std::vector<LayerFacts>& facts) {
  Table table({"layer", "kind", "output", "GMAC", "sees", "taps", "runs as"});
  std::int64_t all = 0;
  std::size_t run = 0;
  for (const LayerFacts& f : facts) {
    table.add({f.node->name, std::string(name_of(f.node->layer)), str_cat(f.output), gmac(f),
               field_in_words(f), taps_of(f.node->layer) > 1 ? percent(f.taps_inside) : "", runs_as(f)});
    all += f.macs;
    run += f.runs_in && f.runs_in->name == f.node->name && f.kernel != "in place";
  }
  return table.plain() +
         str_cat('\n', facts.size(), " layers, of which ", run, " run; ",
                 fixed(static_cast<double>(all) / 1e9, 3), " GMAC.\n",
                 "sees: width x height of the input that one value depends on. taps: how many of a "
                 "kernel's taps read the map and not the padding.\n");
}

JsonText json_of(const LayerFacts& f) {
  return json_object({{"layer", f.node->name},
                      {"kind", name_of(f.node->layer)},
                      {"output", str_cat(f.output)},
                      {"gmac", static_cast<double>(f.macs) / 1e9},
                      {"sees", field_in_words(f)},
                      {"taps", f.taps_inside},
                      {"runs_as", runs_as(f)}});
}

std::string names_of(const std::vector<const Node*>& nodes) {
  std::string out;
  for (const Node* node : nodes) out += (out.empty() ? "" : ", ") + node->name;
  return out;
}

// Who reads a value and who makes it.
std::string makers(const Graph& graph, const Node& of) {
  std::string out;
  for (const ValueId v : of.inputs) {
    const auto made = std::ranges::find(graph.nodes, v, &Node::output);
    out += (out.empty() ? "" : ", ") + (made == graph.nodes.end() ? "the picture" : made->name);
  }
  return out;
}

std::string readers(const Graph& graph, const Node& of) {
  std::string out;
  for (const Node& node : graph.nodes)
    if (std::ranges::count(node.inputs, of.output) > 0) out += (out.empty() ? "" : ", ") + node.name;
  return out.empty() ? "the answer" : out;
}

std::string in_words(const Graph& graph, const LayerFacts& f) {
  const LayerText text = text_of(f.node->layer);
  std::string out = str_cat(f.node->name, ": ", name_of(f.node->layer));
  if (const std::string how = parameters_in_words(f.node->layer); !how.empty()) out += ", " + how;
  out += "\n\n";
  const auto line = [&](std::string_view name, const std::string& value) {
    out += str_cat("  ", name, std::string(10 - name.size(), ' '), value, '\n');
  };
  for (const Shape& in : f.inputs) line("in", str_cat(in));
  line("from", makers(graph, *f.node));
  line("out", str_cat(f.output));
  line("read by", readers(graph, *f.node));
  if (f.macs > 0)
    line("work", str_cat(fixed(static_cast<double>(f.macs) / 1e9, 3), " GMAC: ", f.output.pixels(),
                         " pixels x ", f.macs / f.output.pixels(), " products"));
  line("sees", str_cat(field_in_words(f),
                       f.width.all ? " of the input"
                                   : str_cat(" pixels of the input; the next value is ",
                                             fixed(f.width.jump, f.width.jump < 1 ? 2 : 0), " further on")));
  if (taps_of(f.node->layer) > 1)
    line("taps", str_cat(percent(f.taps_inside), " read the map, the others padding"));
  if (!f.runs_in)
    line("runs as", "nothing: the passes left nothing of it to do");
  else if (f.runs_in->name != f.node->name)
    line("runs in", str_cat(f.runs_in->name, ", by ", f.kernel));
  else
    line("runs as", str_cat(f.kernel, f.holds.empty() ? "" : ", together with " + names_of(f.holds)));
  if (!text.file.empty()) out += str_cat('\n', text.file, ":\n\n", text.text);
  return out;
}

// Runs Graphviz's dot on a file.
std::string drawn_by_dot(const std::string& text) {
  std::string path = (std::filesystem::temp_directory_path() / "atrous_graph_XXXXXX").string();
  const int file = ::mkstemp(path.data());
  if (file < 0) fail(ErrorCode::io, path, ": cannot be made");
  ::close(file);
  std::string out;
  int status = -1;
  try {
    write_file(path, std::as_bytes(std::span(text)));
    if (FILE* pipe = ::popen(("dot -Tsvg '" + path + "' 2>/dev/null").c_str(), "r")) {
      char block[4096];
      for (std::size_t n; (n = ::fread(block, 1, sizeof block, pipe)) > 0;) out.append(block, n);
      status = ::pclose(pipe);
    }
  } catch (...) {
    ::unlink(path.c_str());
    throw;
  }
  ::unlink(path.c_str());
  if (status != 0 || out.empty())
    fail(ErrorCode::unsupported, "Graphviz's dot does not run here; --graph FILE.dot writes what it draws");
  return out;
}

}  // namespace

std::string explained(const Explained& e, const std::string& layer, bool json) {
  const Graph built =
      build_network(e.checkpoint.state, {.hyper = e.model.hyper, .named = e.model.architecture}).graph;
  const Planned planned = plan_of(e);
  std::vector<LayerFacts> facts = layer_facts(built, *e.model.program, planned.plan, planned.input);
  const auto exact = std::ranges::find_if(facts, [&](const LayerFacts& f) { return f.node->name == layer; });
  if (exact != facts.end() && !json) return visible(in_words(built, *exact), Newlines::kept);
  if (!layer.empty()) {
    std::vector<std::string> names;
    for (const LayerFacts& f : facts) names.push_back(f.node->name);
    std::erase_if(facts, [&](const LayerFacts& f) {
      return f.node->name != layer && !f.node->name.starts_with(layer + '.');
    });
    if (facts.empty())
      fail(ErrorCode::invalid_argument, "the ", e.model.architecture, " has no layer ", layer,
           suggestion(layer, names));
  }
  return json ? json_output(json_list(facts, json_of)) : visible(table_of(facts), Newlines::kept);
}

void write_graph(const Explained& e, const std::string& file) {
  const bool svg = file.ends_with(".svg");
  if (!svg && !file.ends_with(".dot"))
    throw UsageError{"--graph " + file + ": expected a name that ends in .dot or .svg"};
  const Planned planned = plan_of(e);
  const std::string text = graph_in_dot(*e.model.program, planned.plan);
  const std::string out = svg ? drawn_by_dot(text) : text;
  write_file(file, std::as_bytes(std::span(out)));
}

}  // namespace atrous::cli
