#include "runtime/engine/plan.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "layers/base/checked.h"

namespace atrous {

namespace {

// A value that owns memory, alive from step `first` to step `last`.
struct Block {
  std::size_t value = 0, bytes = 0, first = 0, last = 0, offset = 0;
};

// A value laid into another one's channels.
struct Slice {
  std::size_t root;
  std::int64_t first_channel = 0;
};

std::size_t index(ValueId v) { return static_cast<std::size_t>(v); }

// How maps lie in the memory of what the program runs on.
struct Layout {
  explicit Layout(const Program& program) : device(program.device.get()) {}
  const Device* device;

  std::size_t alignment() const { return device ? 256 : 64; }
  DType dtype(const Value& value) const { return device ? element_type(device->precision()) : value.dtype; }
  // Of maps that the processor reads. Where pixels lie whole pages apart, those of a tile would fall into the
  // same few sets of the first cache: a line keeps them apart.
  std::int64_t pitch(std::int64_t channels, DType dtype) const {
    if (device) return device_pitch(channels, device->precision());
    const auto element = static_cast<std::int64_t>(size_of(dtype));
    return channels > 0 && channels * element % 4096 == 0 ? channels + 64 / element : channels;
  }
  std::size_t bytes(const Shape& shape, const Value& value) const {
    const Shape wide{shape.n, shape.h, shape.w, device ? shape.c : pitch(shape.c, value.dtype)};
    const std::size_t exact = device
                                  ? device_bytes(shape, device->precision())
                                  : static_cast<std::size_t>(checked_elements(wide)) * size_of(value.dtype);
    return checked_add(exact, alignment() - 1, "plan: activation bytes") / alignment() * alignment();
  }
};

bool is_output(const Graph& graph, ValueId v) {
  return std::ranges::any_of(graph.outputs, [&](const auto& output) { return output.second == v; });
}

// Inputs of concatenations that are made by nodes and read by nobody else are laid into the output; where all
// are, the concatenation is done in place. The others are copied beside them: then only what is made after
// all of those is laid, for else the whole output would take its room before they have all been made.
void lay_concatenations(const Graph& graph, std::vector<Slice>& slices, std::vector<Plan::Step>& steps,
                        const std::vector<Shape>& shapes) {
  const auto readers = count_readers(graph);
  std::vector<std::size_t> made_by(graph.values.size());  // 1 + the node; 0 for the input
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) made_by[index(graph.nodes[i].output)] = i + 1;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    if (!std::holds_alternative<Concat>(node.layer)) continue;
    const auto is_alone = [&](ValueId v) {
      return v != graph.input && readers[index(v)] == 1 && !is_output(graph, v) &&
             graph.values[index(v)].type() == graph.values[index(node.output)].type();
    };
    std::size_t copied = 0;  // 1 + the node that makes the last of those that are copied
    for (ValueId v : node.inputs)
      if (!is_alone(v)) copied = std::max(copied, made_by[index(v)]);
    steps[i].in_place = std::ranges::all_of(node.inputs, is_alone);
    std::int64_t channel = 0;
    for (ValueId v : node.inputs) {
      if (is_alone(v) && made_by[index(v)] > copied) slices[index(v)] = {index(node.output), channel};
      channel += shapes[index(v)].c;
    }
  }
}

// An ungrouped convolution that is the last to read its residual writes its output over it, provided that the
// two look alike in memory: neither is a slice of something else.
void lay_over_residuals(const Graph& graph, std::vector<Slice>& slices, const std::vector<Shape>& shapes) {
  std::vector<std::size_t> last_reader(graph.values.size());
  for (std::size_t i = 0; i < graph.nodes.size(); ++i)
    for (ValueId v : graph.nodes[i].inputs) last_reader[index(v)] = i;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    const auto* gated = std::get_if<GatedConv2d>(&node.layer);
    const auto* conv = gated ? &gated->conv : std::get_if<Conv2d>(&node.layer);
    const std::size_t place = gated ? 2 : 1;
    if (!conv || conv->groups > 1 || node.inputs.size() <= place) continue;
    const ValueId residual = node.inputs[place];
    if (residual == graph.input || residual == node.inputs[0] || is_output(graph, residual) ||
        last_reader[index(residual)] != i || shapes[index(residual)] != shapes[index(node.output)] ||
        graph.values[index(residual)].dtype != graph.values[index(node.output)].dtype)
      continue;
    const std::size_t root = slices[index(residual)].root;
    if (shapes[root].c == shapes[index(residual)].c && slices[index(node.output)].root == index(node.output))
      slices[index(node.output)].root = root;
  }
}

// The cheapest kernel whose workspace for one thread can be held to `allowance`, or else the one that needs
// least: the choice, and with it every bit of the result, depends on no number of threads. On the processor
// the cheapest for one image: an image gets the same answer alone and in a batch.
const Kernel& choose(const Node& node, bool on_device, std::span<const Shape> in, const Shape& out,
                     std::size_t allowance) {
  std::vector<Shape> in_of_one(in.begin(), in.end());
  Shape out_of_one = out;
  if (!on_device) {  // a device's libraries have kernels for a batch that are none for one image
    for (Shape& s : in_of_one) s.n = 1;
    out_of_one.n = 1;
  }
  const Kernel* best = nullptr;
  double least_cost = 0;
  for (const auto& kernel : node.kernels) {
    if (best && least_cost <= 0) break;  // nothing is cheaper, and asking a device's library costs it a plan
    const double cost = kernel->cost(in_of_one, out_of_one);
    if (best && cost >= least_cost) continue;
    if (kernel->least_workspace_bytes(in, out, 1) > allowance) continue;
    best = kernel.get();
    least_cost = cost;
  }
  if (best) return *best;
  return **std::ranges::min_element(
      node.kernels, {}, [&](const auto& kernel) { return kernel->least_workspace_bytes(in, out, 1); });
}

// As many of the threads as the kernel has workspace for; one where there is not enough for any.
int fitting_threads(const Kernel& kernel, std::span<const Shape> in, const Shape& out, int threads,
                    std::size_t allowance) {
  while (threads > 1 && kernel.least_workspace_bytes(in, out, threads) > allowance) --threads;
  return threads;
}

// A concatenation of concatenations, a sum laid over a sum: follow slices of slices to the value that owns
// the memory.
void resolve(std::vector<Slice>& slices) {
  for (std::size_t v = 0; v < slices.size(); ++v)
    while (slices[v].root != slices[slices[v].root].root) {
      slices[v].first_channel += slices[slices[v].root].first_channel;
      slices[v].root = slices[slices[v].root].root;
    }
}

std::vector<Block> lifetimes(const Graph& graph, const std::vector<Slice>& slices,
                             const std::vector<Shape>& shapes, const Layout& layout) {
  std::vector<Block> blocks(graph.values.size());
  std::vector<bool> used(graph.values.size());
  const auto extend = [&](ValueId v, std::size_t step) {
    const std::size_t root = slices[index(v)].root;
    Block& b = blocks[root];
    if (!used[root]) b = {root, 0, step, step, 0};
    used[root] = true;
    b.first = std::min(b.first, step);
    b.last = std::max(b.last, step);
  };
  extend(graph.input, 0);
  if (layout.device) extend(graph.input, graph.nodes.size());  // so that a run can be repeated
  for (std::size_t step = 0; step < graph.nodes.size(); ++step) {
    extend(graph.nodes[step].output, step);
    for (ValueId v : graph.nodes[step].inputs) extend(v, step);
  }
  for (const auto& [name, v] : graph.outputs) extend(v, graph.nodes.size());
  std::size_t v = 0;
  std::erase_if(blocks, [&](const Block&) { return !used[v++]; });
  for (Block& b : blocks) b.bytes = layout.bytes(shapes[b.value], graph.values[b.value]);
  return blocks;
}

// Largest first, each at the lowest offset where it meets nothing that lives at the same time. Returns the
// total.
std::size_t place(std::vector<Block>& blocks) {
  std::ranges::sort(blocks, [](const Block& a, const Block& b) {
    return a.bytes != b.bytes ? a.bytes > b.bytes : a.value < b.value;
  });
  std::size_t total = 0;
  std::vector<const Block*> placed;  // by offset
  for (Block& b : blocks) {
    std::size_t offset = 0;
    for (const Block* other : placed) {
      const bool meet_in_time = b.first <= other->last && other->first <= b.last;
      if (!meet_in_time) continue;
      if (offset + b.bytes <= other->offset) break;
      offset = std::max(offset, other->offset + other->bytes);
    }
    b.offset = offset;
    total = std::max(total, checked_add(offset, b.bytes, "plan: arena bytes"));
    placed.insert(std::ranges::upper_bound(placed, offset, {}, &Block::offset), &b);
  }
  return total;
}

}  // namespace

Plan make_plan(const Program& program, const Shape& input, int threads, std::size_t memory_limit,
               std::size_t aside) try {
  const Graph& graph = program.graph;
  const std::vector<Shape> shapes = infer_shapes(graph, input);
  Plan plan;
  plan.places.resize(graph.values.size());
  plan.steps.resize(graph.nodes.size());

  std::vector<Slice> slices(graph.values.size());
  for (std::size_t v = 0; v < slices.size(); ++v) slices[v].root = v;
  const Layout layout(program);
  if (!layout.device) {
    lay_concatenations(graph, slices, plan.steps, shapes);
    lay_over_residuals(graph, slices, shapes);
    resolve(slices);
  }

  std::vector<Block> blocks = lifetimes(graph, slices, shapes, layout);
  plan.activation_bytes = place(blocks);
  std::vector<std::size_t> offsets(graph.values.size());
  for (const Block& b : blocks) offsets[b.value] = b.offset;
  for (std::size_t v = 0; v < shapes.size(); ++v) {
    const auto [root, channel] = slices[v];
    const DType dtype = layout.dtype(graph.values[v]);
    plan.places[v] = {shapes[v], offsets[root] + static_cast<std::size_t>(channel) * size_of(dtype),
                      layout.pitch(shapes[root].c, dtype), dtype, graph.values[v].quantisation};
  }

  for (const Node& node : graph.nodes)
    plan.macs = checked_add(plan.macs, macs(node, shapes), "plan: multiply-accumulates");
  const std::size_t taken = checked_add(
      checked_add(program.packed_bytes(), plan.activation_bytes, "plan: memory"), aside, "plan: memory");
  const std::size_t allowance = memory_limit == 0 ? std::numeric_limits<std::size_t>::max()
                                                  : memory_limit - std::min(memory_limit, taken);
  std::vector<Shape> in;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    in.clear();
    for (ValueId v : node.inputs) in.push_back(shapes[index(v)]);
    const Shape& out = shapes[index(node.output)];
    const Kernel& kernel = choose(node, program.device != nullptr, in, out, allowance);
    Plan::Step& step = plan.steps[i];
    step.kernel = &kernel;
    step.threads = fitting_threads(kernel, in, out, threads, allowance);
    step.workspace = std::max(std::min(kernel.workspace_bytes(in, out, step.threads), allowance) / 64 * 64,
                              kernel.least_workspace_bytes(in, out, step.threads));
    plan.workspace_bytes = std::max(plan.workspace_bytes, step.workspace);
  }
  return plan;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
