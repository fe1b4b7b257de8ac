#include "runtime/explain/arena_drawing.h"

#include <algorithm>

#include "layers/base/error.h"

namespace atrous {

namespace {

// A map from the node that makes it to the last that reads it.
struct Block {
  std::size_t value = 0, bytes = 0, first = 0, last = 0, offset = 0;
  std::string_view name = "input";
  bool in_wider = false;  // in some channels of another map
};

std::size_t at(ValueId v) { return static_cast<std::size_t>(v); }

std::vector<Block> blocks_of(const Graph& graph, const Plan& plan) {
  std::vector<Block> blocks(graph.values.size());
  const auto see = [&](ValueId v, std::size_t step) { blocks[at(v)].last = step; };
  for (std::size_t step = 0; step < graph.nodes.size(); ++step) {
    const Node& node = graph.nodes[step];
    const Plan::Place& place = plan.places[at(node.output)];
    blocks[at(node.output)] = {
        at(node.output),
        static_cast<std::size_t>(place.shape.pixels() * place.shape.c) * size_of(place.dtype),
        step,
        step,
        0,
        node.name};
    for (const ValueId v : node.inputs) see(v, step);
  }
  for (const auto& [name, v] : graph.outputs) see(v, graph.nodes.size());
  const Shape& in = plan.places[at(graph.input)].shape;
  blocks[at(graph.input)].value = at(graph.input);
  blocks[at(graph.input)].bytes = static_cast<std::size_t>(in.pixels() * in.c) * sizeof(float);
  std::erase_if(blocks, [](const Block& b) { return b.bytes == 0; });
  return blocks;
}

bool meet(const Block& a, const Block& b) { return a.first <= b.last && b.first <= a.last; }

// Largest first, each at the lowest offset where it meets nothing. Returns the bytes of all.
std::size_t place_apart(std::vector<Block>& blocks) {
  std::size_t total = 0;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    for (std::size_t j = i + 1; j < blocks.size(); ++j)
      if (blocks[j].bytes > blocks[i].bytes) std::swap(blocks[i], blocks[j]);
    Block& b = blocks[i];
    for (std::size_t j = 0; j < i;) {  // from the beginning again wherever it had to move
      const Block& other = blocks[j++];
      if (!meet(b, other) || b.offset + b.bytes <= other.offset || other.offset + other.bytes <= b.offset)
        continue;
      b.offset = other.offset + other.bytes;
      j = 0;
    }
    total = std::max(total, b.offset + b.bytes);
  }
  return total;
}

// As the plan has them. What lies in some channels of a wider map is drawn as that share of it.
void place_as_planned(std::vector<Block>& blocks, const Plan& plan) {
  for (Block& b : blocks) b.offset = plan.places[b.value].offset;
  const std::vector<Block> all = blocks;
  for (Block& b : blocks) {
    const Plan::Place& place = plan.places[b.value];
    std::int64_t widest = place.shape.c;  // a concatenation may lie in another one
    for (const Block& root : all) {
      const Plan::Place& wide = plan.places[root.value];
      const std::size_t pixel = static_cast<std::size_t>(wide.pitch) * size_of(wide.dtype);
      if (wide.pitch != place.pitch || wide.shape.c <= widest || place.offset < root.offset ||
          place.offset >= root.offset + pixel || root.last < b.first)
        continue;
      widest = wide.shape.c;
      b.in_wider = true;
      b.offset = root.offset + (place.offset - root.offset) * static_cast<std::size_t>(place.shape.pixels());
    }
  }
}

constexpr double width = 880, height = 260, left = 20;

std::string rect(double x, double y, double w, double h, std::string_view fill, std::string_view title) {
  return str_cat("<rect x=\"", x, "\" y=\"", y, "\" width=\"", w, "\" height=\"", h, "\" fill=\"", fill,
                 "\" stroke=\"#57606a\" stroke-width=\".4\" fill-opacity=\".8\"><title>", title,
                 "</title></rect>\n");
}

std::string text(double y, const std::string& words) {
  return str_cat("<text x=\"", left, "\" y=\"", y, "\">", words, "</text>\n");
}

}  // namespace

std::string arena_in_svg(const Program& program, const Plan& plan) {
  std::vector<Block> blocks = blocks_of(program.graph, plan);
  const std::size_t steps = program.graph.nodes.size() + 1, apart = place_apart(blocks);
  const double down = height / static_cast<double>(std::max(apart, plan.arena_bytes())),
               right = width / static_cast<double>(steps);
  const auto mb = [](std::size_t bytes) {
    return str_cat(static_cast<double>((bytes + 50000) / 100000) / 10, " MB");
  };
  std::string out =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 920 680\" font-family=\"Helvetica, Arial, "
      "sans-serif\" font-size=\"13\">\n<rect width=\"920\" height=\"680\" rx=\"8\" fill=\"#ffffff\"/>\n";
  const auto draw = [&](double top) {
    for (const Block& b : blocks)
      out += rect(left + right * static_cast<double>(b.first), top + down * static_cast<double>(b.offset),
                  right * static_cast<double>(b.last - b.first + 1), down * static_cast<double>(b.bytes),
                  b.in_wider ? "#4ac26b" : "#54aeff", str_cat(b.name, ", ", mb(b.bytes)));
  };
  out += text(28, str_cat("Before: every map in memory of its own, ", mb(apart)));
  draw(40);
  out += text(348, str_cat("After: the plan, ", mb(plan.activation_bytes), " and ", mb(plan.workspace_bytes),
                           " of workspace (grey). Green: in a wider map. Darker: over a residual"));
  place_as_planned(blocks, plan);
  draw(360);
  for (std::size_t i = 0; i + 1 < steps; ++i)
    if (plan.steps[i].workspace > 0)
      out += rect(
          left + right * static_cast<double>(i), 360 + down * static_cast<double>(plan.activation_bytes),
          right, down * static_cast<double>(plan.steps[i].workspace), "#d0d7de", program.graph.nodes[i].name);
  out += text(650, str_cat("To the right: ", steps - 1,
                           " nodes, one after the other. Downwards: bytes of the arena."));
  return out + "</svg>\n";
}

}  // namespace atrous
