#include "cli/explain.h"

#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iomanip>
#include <set>

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

std::string side(const ReceptiveField& f) { return f.all ? "all" : str_cat(std::lround(f.field)); }

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

// How many of the program's nodes run the layers of these rows, not counting those of layers elsewhere. A
// node that a pass made is called as a layer and more: "project.0.pixel".
std::size_t nodes_of(const std::vector<LayerFacts>& rows) {
  std::set<std::string_view> nodes;
  for (const LayerFacts& f : rows) {
    if (!f.runs_in || f.kernel == "in place") continue;
    const std::string_view node = f.runs_in->name;
    if (std::ranges::any_of(rows, [&](const LayerFacts& row) {
          const std::string& name = row.node->name;
          return node.starts_with(name) && (node.size() == name.size() || node[name.size()] == '.');
        }))
      nodes.insert(node);
  }
  return nodes.size();
}

std::string table_of(const std::vector<LayerFacts>& facts) {
  Table table({"layer", "kind", "output", "GMAC", "sees", "taps", "runs as"});
  std::int64_t all = 0;
  for (const LayerFacts& f : facts) {
    table.add({f.node->name, std::string(name_of(f.node->layer)), str_cat(f.output), gmac(f),
               field_in_words(f), taps_of(f.node->layer) > 1 ? percent(f.taps_inside, 0) : "", runs_as(f)});
    all += f.macs;
  }
  return table.plain() +
         str_cat('\n', facts.size(), " layers, of which ", nodes_of(facts), " run; ",
                 fixed(static_cast<double>(all) / 1e9, 3), " GMAC.\n",
                 "sees: width x height of the input that one value depends on. taps: how many of a "
                 "kernel's taps read the map and not the padding.\n");
}

// "a, b, c" of those that `take` gives the name of.
template <class Nodes, class Take>
std::string names_of(const Nodes& nodes, const char* none, Take&& take) {
  std::string out;
  for (const auto& node : nodes)
    if (const std::string* name = take(node)) out += (out.empty() ? "" : ", ") + *name;
  return out.empty() ? none : out;
}

std::string in_words(const Graph& graph, const std::vector<LayerFacts>& facts, const LayerFacts& f) {
  const Node& node = *f.node;
  const auto made_for_it = [&](const Node& n) {
    return std::ranges::count(node.inputs, n.output) > 0 ? &n.name : nullptr;
  };
  const auto reads_it = [&](const Node& n) {
    return std::ranges::count(n.inputs, node.output) > 0 ? &n.name : nullptr;
  };
  const auto held = [&](const LayerFacts& other) {
    return &other != &f && other.runs_in == f.runs_in ? &other.node->name : nullptr;
  };
  std::string out =
      str_cat(node.name, ": ", name_of(node.layer), ' ', parameters_in_words(node.layer), "\n\n");
  const auto line = [&](const char* name, const std::string& value) {
    out += str_cat("  ", std::left, std::setw(15), name, value, '\n');
  };
  line("reads", names_of(graph.nodes, "the picture", made_for_it));
  line("makes", str_cat(f.output));
  line("read by", names_of(graph.nodes, "the answer", reads_it));
  if (f.macs > 0)
    line("work", str_cat(gmac(f), " GMAC: ", f.output.pixels(), " pixels x ", f.macs / f.output.pixels()));
  line("sees", field_in_words(f) + " of the input");
  line("next value", fixed(f.width.jump, f.width.jump < 1 ? 2 : 0) + " further on");
  if (taps_of(node.layer) > 1) line("taps", percent(f.taps_inside, 0) + " read the map, the others padding");
  line("runs as", runs_as(f));
  if (f.runs_in && f.runs_in->name == node.name) line("together with", names_of(facts, "nothing else", held));
  return out;
}

// The facts of a network's layers, and those of them that a name asks for. Error(invalid_argument) where
// there are none.
struct Looked {
  Graph built;
  Planned planned;
  std::vector<LayerFacts> all, asked;

  Looked(const Explained& e, const std::string& layer)
      : built(
            build_network(e.checkpoint.state, {.hyper = e.model.hyper, .named = e.model.architecture}).graph),
        planned(plan_of(e)),
        all(layer_facts(built, *e.model.program, planned.plan, planned.input)) {
    std::vector<std::string> names;
    for (const LayerFacts& f : all) {
      const std::string& name = f.node->name;
      names.push_back(name);
      if (layer.empty() || name == layer || name.starts_with(layer + '.')) asked.push_back(f);
    }
    if (const LayerFacts* found = one(layer)) asked = {*found};
    if (asked.empty())
      fail(ErrorCode::invalid_argument, "the ", e.model.architecture, " has no layer ", layer,
           suggestion(layer, names));
  }
  const LayerFacts* one(const std::string& layer) const {
    const auto found = std::ranges::find_if(all, [&](const LayerFacts& f) { return f.node->name == layer; });
    return found == all.end() ? nullptr : &*found;
  }
};

JsonText field_json(const ReceptiveField& f) {
  JsonText json = json_object({{"jump", f.jump}});
  if (f.all) return add_member(json, "pixels", nullptr), json;
  add_member(json, "pixels", f.field);
  add_member(json, "centre", f.centre);
  return json;
}

JsonText facts_json(const Graph& graph, const LayerFacts& f) {
  const Node& node = *f.node;
  std::vector<std::string> reads;
  for (const Node& other : graph.nodes)
    if (std::ranges::count(node.inputs, other.output) > 0) reads.push_back(other.name);
  JsonText json = json_object(
      {{"layer", node.name},
       {"kind", name_of(node.layer)},
       {"parameters", parameters_in_words(node.layer)},
       {"reads", json_list(reads)},
       {"output", json_list({f.output.n, f.output.h, f.output.w, f.output.c})},
       {"macs", f.macs},
       {"sees", json_object({{"width", field_json(f.width)}, {"height", field_json(f.height)}})}});
  add_member(json, "taps_inside", taps_of(node.layer) > 1 ? JsonText(f.taps_inside) : JsonText());
  add_member(json, "runs_in", f.runs_in ? JsonText(f.runs_in->name) : JsonText());
  add_member(json, "kernel", f.runs_in ? JsonText(f.kernel) : JsonText());
  return json;
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

std::string field_in_words(const LayerFacts& f) {
  const std::string w = side(f.width), h = side(f.height);
  return w == h && f.width.all ? w : w + 'x' + h;
}

std::string explained(const Explained& e, const std::string& layer) {
  const Looked looked(e, layer);
  if (const LayerFacts* one = looked.one(layer))
    return visible(in_words(looked.built, looked.all, *one) + '\n' + text_of(one->node->layer),
                   Newlines::kept);
  return visible(table_of(looked.asked), Newlines::kept);
}

JsonText explained_in_json(const Explained& e, const std::string& file, const std::string& layer) {
  const Looked looked(e, layer);
  const bool one = looked.one(layer) != nullptr;
  const auto layer_json = [&](const LayerFacts& f) {
    JsonText json = facts_json(looked.built, f);
    if (one) add_member(json, "text", text_of(f.node->layer));
    return json;
  };
  return json_object({{"file", file},
                      {"architecture", e.model.architecture},
                      {"input", json_object({{"width", e.width}, {"height", e.height}})},
                      {"layers", json_list(looked.asked, layer_json)}});
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
