#include "runtime/engine/compare.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "layers/base/error.h"
#include "layers/base/naming.h"
#include "layers/cpu/maps/finite.h"
#include "runtime/engine/program.h"

namespace atrous {

namespace {

struct Identity {
  std::string_view name, layer;
};

Identity node_of(const Session& session, std::size_t i) {
  const auto& node = session.program().graph.nodes[i];
  return {node.name, name_of(node.layer)};
}

Tensor copy_of(ConstView view) {
  Tensor out(view.shape);
  for (std::int64_t p = 0; p < view.shape.pixels(); ++p)
    std::copy_n(view.data + p * view.pitch, view.shape.c, out.data() + p * view.shape.c);
  return out;
}

// Nodes that run, with what they gave.
std::vector<std::pair<std::size_t, Tensor>> outputs_of(Session& session, ConstView input) {
  std::vector<std::pair<std::size_t, Tensor>> outputs;
  session.run(input, [&](std::size_t node, double, ConstView output) {
    outputs.emplace_back(node, copy_of(output));
  });
  return outputs;
}

void check_same_nodes(const Session& a, const Session& b) {
  const std::size_t count_a = a.program().graph.nodes.size(), count_b = b.program().graph.nodes.size();
  for (std::size_t i = 0; i < std::min(count_a, count_b); ++i) {
    const Identity x = node_of(a, i), y = node_of(b, i);
    if (x.name != y.name || x.layer != y.layer)
      fail(ErrorCode::mismatch, "layer ", i, " is ", x.name, " (", x.layer, "), the reference's is ", y.name,
           " (", y.layer, ")");
  }
  if (count_a != count_b)
    fail(ErrorCode::mismatch, "the network has ", count_a, " layers, the reference ", count_b);
}

}  // namespace

Difference difference(ConstView a, ConstView reference) try {
  check(a, "a");
  check(reference, "reference");
  if (a.shape != reference.shape)
    fail(ErrorCode::mismatch, "shape ", a.shape, ", the reference's is ", reference.shape);
  constexpr double infinity = std::numeric_limits<double>::infinity();
  double max_abs = 0, largest = 0, ab = 0, aa = 0, bb = 0;
  for (std::int64_t p = 0; p < a.shape.pixels(); ++p)
    for (std::int64_t c = 0; c < a.shape.c; ++c) {
      const double x = static_cast<double>(a.data[p * a.pitch + c]);
      const double y = static_cast<double>(reference.data[p * reference.pitch + c]);
      const bool comparable = std::isfinite(x) && std::isfinite(y);
      max_abs = std::max(max_abs, comparable ? std::abs(x - y) : x == y ? 0 : infinity);
      if (!comparable) continue;
      largest = std::max(largest, std::abs(y));
      ab += x * y;
      aa += x * x;
      bb += y * y;
    }
  const double relative = max_abs == 0 ? 0 : max_abs / largest;  // infinite where the reference is all zeros
  const double cosine = aa == 0 && bb == 0 ? 1 : aa == 0 || bb == 0 ? 0 : ab / std::sqrt(aa) / std::sqrt(bb);
  return {max_abs, relative, cosine};
} catch (...) {
  rethrow_as_error();
}

std::string first_not_finite(Session& session, ConstView input) try {
  std::string first;
  session.run(input, [&](std::size_t i, double, ConstView output) {
    if (!first.empty() || all_finite(session.program().isa, output)) return;
    const Identity node = node_of(session, i);
    first = str_cat(node.name, " (", node.layer, ")");
  });
  return first;
} catch (...) {
  rethrow_as_error();
}

std::vector<LayerDifference> compare_layers(Session& examined, Session& reference, ConstView input) try {
  check_same_nodes(examined, reference);
  const auto found = outputs_of(examined, input), expected = outputs_of(reference, input);
  std::vector<LayerDifference> layers;
  for (const auto& of_node : found) {
    const std::size_t node = of_node.first;
    const Tensor& output = of_node.second;
    // What one of them does in place, as the processor does concatenations, only the other has to show.
    const auto other = std::ranges::find(expected, node, [](const auto& e) { return e.first; });
    if (other == expected.end()) continue;
    const Identity which = node_of(examined, node);
    layers.push_back({std::string(which.name), which.layer, output.shape(),
                      naming(which.name, [&] { return difference(output.view(), other->second.view()); })});
  }
  return layers;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
