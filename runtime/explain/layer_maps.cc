#include "runtime/explain/layer_maps.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "layers/base/error.h"
#include "runtime/engine/stopwatch.h"

namespace atrous {

namespace {

// How many of a node's inputs it reads the values of: of the others their size alone counts.
std::size_t inputs_read(const Node& node) {
  const bool first_alone =
      std::holds_alternative<Resize>(node.layer) || std::holds_alternative<Crop>(node.layer);
  return first_alone ? 1 : node.inputs.size();
}

bool reads_values(const Node& node, ValueId v) {
  const auto end = node.inputs.begin() + static_cast<std::ptrdiff_t>(inputs_read(node));
  return std::find(node.inputs.begin(), end, v) != end;
}

std::vector<const Node*> readers_of(const Graph& graph, ValueId v) {
  std::vector<const Node*> readers;
  for (const Node& node : graph.nodes)
    if (reads_values(node, v)) readers.push_back(&node);
  return readers;
}

AsppBranch followed(const Graph& graph, const Node* node) {
  AsppBranch branch;
  for (;;) {
    branch.last = node;
    if (const auto* conv = std::get_if<Conv2d>(&node->layer);
        conv && conv->weight.kernel_h > 1 && !branch.conv)
      branch.conv = node;
    branch.pools = branch.pools || std::holds_alternative<AdaptiveAvgPool2d>(node->layer);
    const std::vector<const Node*> readers = readers_of(graph, node->output);
    if (readers.size() != 1 || inputs_read(*readers[0]) != 1) return branch;
    node = readers[0];
  }
}

double square(double v) { return v * v; }

double length_of(std::span<const float> v) {
  return std::sqrt(
      std::accumulate(v.begin(), v.end(), 0.0, [](double sum, float x) { return sum + square(x); }));
}

std::vector<float> vector_at(Session& session, const OcclusionOptions& how) {
  const ConstView map = session.output(part_output(0));
  if (how.y < 0 || how.y >= map.shape.h || how.x < 0 || how.x >= map.shape.w)
    fail(ErrorCode::invalid_argument, "the map is ", map.shape.w, "x", map.shape.h, ", there is no value ",
         how.x, ",", how.y);
  const float* v = map.pixel(0, how.y, how.x);
  return {v, v + map.shape.c};
}

void cover(Image& picture, const PixelBox& box) {
  constexpr std::uint8_t grey = 128;
  const auto channels = static_cast<std::size_t>(picture.channels);
  for (int y = box.top; y < box.bottom; ++y)
    std::fill_n(picture.row(y) + static_cast<std::size_t>(box.left) * channels,
                static_cast<std::size_t>(box.right - box.left) * channels, grey);
}

bool meet(const PixelBox& a, const PixelBox& b) {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

}  // namespace

std::string part_output(std::size_t i) { return std::to_string(i); }

Graph part_of(const Graph& graph, std::span<const ValueId> values) {
  std::vector<char> needed(graph.values.size());
  const auto need = [&](ValueId v) { needed.at(static_cast<std::size_t>(v)) = 1; };
  const auto is_needed = [&](const Node& node) { return needed[static_cast<std::size_t>(node.output)] != 0; };
  std::ranges::for_each(values, need);
  for (auto node = graph.nodes.rbegin(); node != graph.nodes.rend(); ++node)
    if (is_needed(*node)) std::ranges::for_each(node->inputs, need);
  Graph part{.values = graph.values, .nodes = {}, .input = graph.input, .outputs = {}};
  for (const Node& node : graph.nodes)
    if (is_needed(node)) part.nodes.push_back(node);
  for (std::size_t i = 0; i < values.size(); ++i) part.outputs.emplace_back(part_output(i), values[i]);
  return part;
}

std::vector<ChannelFacts> channel_facts(ConstView map, const std::string& name) {
  check(map, name);
  std::vector<ChannelFacts> facts(static_cast<std::size_t>(map.shape.c));
  const auto pixels = map.shape.pixels();
  for (std::size_t c = 0; c < facts.size(); ++c) {
    ChannelFacts& f = facts[c];
    f.channel = static_cast<std::int64_t>(c);
    f.least = f.largest = map.data[c];
    double sum = 0;
    for (std::int64_t i = 0; i < pixels; ++i) {
      const float v = map.data[i * map.pitch + f.channel];
      if (!std::isfinite(v))
        fail(ErrorCode::not_finite, name, ": channel ", c, " has values that are not finite");
      f.least = std::min(f.least, v);
      f.largest = std::max(f.largest, v);
      sum += v;
    }
    f.mean = sum / static_cast<double>(pixels);
    double squares = 0;
    for (std::int64_t i = 0; i < pixels; ++i) squares += square(map.data[i * map.pitch + f.channel] - f.mean);
    f.variance = squares / static_cast<double>(pixels);
  }
  return facts;
}

std::vector<ChannelFacts> strongest(std::vector<ChannelFacts> facts, std::size_t count,
                                    double ChannelFacts::*by) {
  const auto before = [by](const ChannelFacts& a, const ChannelFacts& b) {
    return a.*by != b.*by ? a.*by > b.*by : a.channel < b.channel;
  };
  count = std::min(count, facts.size());
  const auto shown = facts.begin() + static_cast<std::ptrdiff_t>(count);
  // One after the other: they are few, and a sort takes 4 KB of program.
  for (auto next = facts.begin(); next != shown; ++next)
    std::iter_swap(next, std::min_element(next, facts.end(), before));
  facts.erase(shown, facts.end());
  return facts;
}

std::vector<AsppBranch> aspp_branches(const Graph& graph) {
  for (ValueId v = 0; v < static_cast<ValueId>(graph.values.size()); ++v) {
    std::vector<AsppBranch> branches;
    std::int64_t least = 0, largest = 0;  // dilation above 1
    for (const Node* reader : readers_of(graph, v)) {
      if (inputs_read(*reader) != 1) continue;
      branches.push_back(followed(graph, reader));
      if (const std::int64_t dilation = branches.back().dilation(); dilation > 1) {
        least = least > 0 ? std::min(least, dilation) : dilation;
        largest = std::max(largest, dilation);
      }
    }
    if (least < largest) return branches;
  }
  return {};
}

std::vector<std::int64_t> strongest_together(std::span<const std::vector<ChannelFacts>> branches,
                                             std::size_t count) {
  std::vector<ChannelFacts> together;
  for (const std::vector<ChannelFacts>& facts : branches) {
    if (together.empty()) together.resize(facts.size());
    together.resize(std::min(together.size(), facts.size()));
    double all = 0;
    for (const ChannelFacts& f : facts) all += f.variance;
    for (std::size_t c = 0; c < together.size(); ++c) {
      together[c].channel = static_cast<std::int64_t>(c);
      together[c].variance += all > 0 ? facts[c].variance / all : 0;
    }
  }
  std::vector<std::int64_t> channels;
  for (const ChannelFacts& f : strongest(std::move(together), count)) channels.push_back(f.channel);
  return channels;
}

Occlusion occlude(Session& session, const Image& picture, const Preparation& preparation,
                  const OcclusionOptions& how) {
  const int longer = std::max(picture.width, picture.height);
  if (how.cells < 1 || how.cells > longer)
    fail(ErrorCode::invalid_argument, "occlusion: expected 1 to ", longer,
         " cells along the longer side, found ", how.cells);
  const auto cells = [&](int side, int of_cell) { return (side + of_cell - 1) / of_cell; };
  Occlusion out;
  out.side = cells(longer, how.cells);
  out.across = cells(picture.width, out.side);
  out.down = cells(picture.height, out.side);
  const auto box_of = [&](int cell) {
    const int left = cell % out.across * out.side, top = cell / out.across * out.side;
    return PixelBox{left, top, std::min(left + out.side, picture.width),
                    std::min(top + out.side, picture.height)};
  };
  std::vector<int> covered;
  for (int cell = 0; cell < out.across * out.down; ++cell)
    if (meet(box_of(cell), how.seen)) covered.push_back(cell);

  const Stopwatch watch;
  session.run(picture, preparation);
  const double seconds = watch.elapsed();
  const std::vector<float> whole = vector_at(session, how);
  const double length = length_of(whole);
  out.change.resize(static_cast<std::size_t>(out.across) * static_cast<std::size_t>(out.down));
  int done = 0;
  for (const int cell : covered) {
    if (how.progress) how.progress(done++, static_cast<int>(covered.size()), seconds);
    Image part = picture;
    cover(part, box_of(cell));
    session.run(part, preparation);
    std::vector<float> now = vector_at(session, how);
    std::ranges::transform(now, whole, now.begin(), std::minus<>{});
    out.change[static_cast<std::size_t>(cell)] = length_of(now) / (length > 0 ? length : 1);
  }
  return out;
}

}  // namespace atrous
