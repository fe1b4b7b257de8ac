#include "runtime/explain/graph_text.h"

#include "layers/base/error.h"

namespace atrous {

namespace {

std::string dot_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

std::string_view colour(const Layer& layer) {
  return std::holds_alternative<Conv2d>(layer) || std::holds_alternative<ExpandDepthwise>(layer) ||
                 std::holds_alternative<GatedConv2d>(layer) || std::holds_alternative<DoubledConv2d>(layer)
             ? "#ddf4ff"
         : std::holds_alternative<ConvTranspose2d>(layer) || std::holds_alternative<Resize>(layer)
             ? "#dafbe1"
             : "#fff1e5";
}

}  // namespace

std::string graph_in_dot(const Program& program, const Plan& plan) {
  const Graph& graph = program.graph;
  const auto shape_of = [&](ValueId v) { return str_cat(plan.places[static_cast<std::size_t>(v)].shape); };
  std::string out =
      "digraph network {\n  node [shape=box, style=filled, fontname=\"Helvetica\", fontsize=10];\n";
  out += str_cat("  v", graph.input, " [label=", dot_text("input\n" + shape_of(graph.input)),
                 ", fillcolor=\"#ffffff\"];\n");
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    const std::string_view how = plan.steps[i].in_place ? "in place" : plan.steps[i].kernel->name();
    out += str_cat(
        "  v", node.output, " [label=",
        dot_text(str_cat(node.name, '\n', name_of(node.layer), ", ", how, '\n', shape_of(node.output))),
        ", fillcolor=\"", colour(node.layer), "\"];\n");
    for (const ValueId v : node.inputs) out += str_cat("  v", v, " -> v", node.output, ";\n");
  }
  for (const auto& [name, v] : graph.outputs)
    out += str_cat("  o", v, " [label=", dot_text(name), ", shape=ellipse, fillcolor=\"#ffffff\"];\n  v", v,
                   " -> o", v, ";\n");
  return out + "}\n";
}

}  // namespace atrous
