#include "runtime/engine/passes.h"

#include <algorithm>
#include <map>
#include <span>

#include "layers/ops/quantised_conv2d.h"
#include "runtime/engine/weight_memory.h"

namespace atrous {

namespace {

constexpr std::size_t nowhere = static_cast<std::size_t>(-1);

// For every value the index of the node that makes it; `nowhere` for the input.
std::vector<std::size_t> producers(const Graph& graph) {
  std::vector<std::size_t> by(graph.values.size(), nowhere);
  for (std::size_t i = 0; i < graph.nodes.size(); ++i)
    by[static_cast<std::size_t>(graph.nodes[i].output)] = i;
  return by;
}

// The Conv2d that makes `value`, if one does and only one node reads it; otherwise null.
Node* sole_convolution(Graph& graph, const std::vector<std::size_t>& by, const std::vector<int>& readers,
                       ValueId value) {
  const auto v = static_cast<std::size_t>(value);
  if (by[v] == nowhere || readers[v] != 1) return nullptr;
  Node& node = graph.nodes[by[v]];
  return std::holds_alternative<Conv2d>(node.layer) ? &node : nullptr;
}

void drop(Graph& graph, const std::vector<bool>& dropped) {
  std::size_t i = 0;
  std::erase_if(graph.nodes, [&](const Node&) { return dropped[i++]; });
}

// Offers every node of type L to `absorb(node, layer)`; where that returns true the node is dropped, since
// what it computed is now computed by the node that took over its output.
template <class L, class Absorb>
void absorb_each(Graph& graph, Absorb&& absorb) {
  std::vector<bool> dropped(graph.nodes.size());
  for (std::size_t i = 0; i < graph.nodes.size(); ++i)
    if (const auto* layer = std::get_if<L>(&graph.nodes[i].layer))
      dropped[i] = absorb(graph.nodes[i], *layer);
  drop(graph, dropped);
}

// Of quantised weights the scales are multiplied, of others the factors are written down.
void fold(Conv2d& conv, const BatchNorm& norm) {
  Filter& w = conv.weight;
  if (w.pending && !w.pending->factors.empty()) bring_in(w);
  const auto outputs = static_cast<std::size_t>(w.d0);
  std::shared_ptr<float[]> scale(new float[w.quantised ? outputs : 0]), bias(new float[outputs]);
  for (std::int64_t o = 0; o < w.d0; ++o) {
    const double factor = norm.scale[static_cast<std::size_t>(o)],
                 shift = norm.shift[static_cast<std::size_t>(o)];
    if (w.quantised) scale[o] = static_cast<float>(w.scale.get()[o] * factor);
    bias[o] = static_cast<float>((conv.bias ? conv.bias.get()[o] : 0.0) * factor + shift);
  }
  if (w.quantised) {
    w.scale = {scale, scale.get()};
  } else {
    w.pending = std::make_shared<const PendingWeights>(
        PendingWeights{w.pending ? w.pending->stored : nullptr, norm.scale});
  }
  conv.bias = {bias, bias.get()};
}

// weight[o, i, ky, kx] = w[i, o, kernel_h - 1 - ky, kernel_w - 1 - kx]
std::shared_ptr<const float> turned(const Filter& w) {
  std::shared_ptr<float[]> weight(new float[static_cast<std::size_t>(w.elements())]);
  const std::int64_t taps = w.kernel_h * w.kernel_w;
  for (std::int64_t o = 0; o < w.d1; ++o)
    for (std::int64_t i = 0; i < w.d0; ++i)
      std::reverse_copy(w.data.get() + (i * w.d1 + o) * taps, w.data.get() + (i * w.d1 + o + 1) * taps,
                        weight.get() + (o * w.d0 + i) * taps);
  return {weight, weight.get()};
}

bool plain(const Node& node) {
  return std::get<Conv2d>(node.layer).activation == ActivationKind::none && node.inputs.size() == 1;
}

// Whether the value is 1x1 for every input of the graph.
bool single_pixel(const Graph& graph, const std::vector<std::size_t>& by, ValueId value) {
  while (by[static_cast<std::size_t>(value)] != nowhere) {
    const Node& node = graph.nodes[by[static_cast<std::size_t>(value)]];
    if (const auto* pool = std::get_if<AdaptiveAvgPool2d>(&node.layer))
      return pool->out_h == 1 && pool->out_w == 1;
    const auto* conv = std::get_if<Conv2d>(&node.layer);
    const bool keeps_size = conv ? conv->is_pointwise()
                                 : std::holds_alternative<Activation>(node.layer) ||
                                       std::holds_alternative<BatchNorm>(node.layer);
    if (!keeps_size) return false;
    value = node.inputs[0];
  }
  return false;
}

// Of `from`, weights as those of w, what belongs to input channels [first, first + count); with `without`, to
// all others.
template <class T>
std::shared_ptr<const T> input_channels(const Filter& w, const std::shared_ptr<const T>& from,
                                        std::int64_t first, std::int64_t count, bool without) {
  const std::int64_t taps = w.kernel_h * w.kernel_w, kept = without ? w.d1 - count : count;
  std::shared_ptr<T[]> data(new T[static_cast<std::size_t>(w.d0 * kept * taps)]);
  T* to = data.get();
  for (std::int64_t o = 0; o < w.d0; ++o) {
    const T *row = from.get() + o * w.d1 * taps, *begin = row + first * taps, *end = begin + count * taps;
    to = without ? std::copy(end, row + w.d1 * taps, std::copy(row, begin, to)) : std::copy(begin, end, to);
  }
  return {data, data.get()};
}

// The same of weights that are still in a file: `row` floats of each output channel, of which it has those
// [first, last), or with `without` all others.
class PartOfRows final : public StoredWeights {
 public:
  PartOfRows(std::shared_ptr<const StoredWeights> all, std::int64_t row, std::int64_t first,
             std::int64_t last, bool without)
      : all_(std::move(all)), row_(row), first_(first), last_(last), without_(without) {}

  void read(std::int64_t at, std::span<float> out) const override {
    const std::int64_t kept = without_ ? row_ - (last_ - first_) : last_ - first_;
    while (!out.empty()) {
      const std::int64_t within = at % kept;
      std::int64_t from = without_ ? within : first_ + within, end = without_ ? first_ : last_;
      if (without_ && within >= first_) {
        from = within + last_ - first_;
        end = row_;
      }
      const std::size_t count = std::min(static_cast<std::size_t>(end - from), out.size());
      all_->read(at / kept * row_ + from, out.first(count));
      out = out.subspan(count);
      at += static_cast<std::int64_t>(count);
    }
  }

 private:
  std::shared_ptr<const StoredWeights> all_;
  std::int64_t row_, first_, last_;
  bool without_;
};

Filter input_channels(const Filter& w, std::int64_t first, std::int64_t count, bool without) {
  Filter part{w.d0, without ? w.d1 - count : count, w.kernel_h, w.kernel_w, nullptr, nullptr, w.scale};
  if (w.quantised)
    part.quantised = input_channels(w, w.quantised, first, count, without);
  else if (w.data)
    part.data = input_channels(w, w.data, first, count, without);
  if (!w.pending) return part;
  PendingWeights pending{nullptr, w.pending->factors};
  const std::int64_t taps = w.kernel_h * w.kernel_w;
  if (w.pending->stored)
    pending.stored = std::make_shared<const PartOfRows>(w.pending->stored, w.d1 * taps, first * taps,
                                                        (first + count) * taps, without);
  part.pending = std::make_shared<const PendingWeights>(std::move(pending));
  return part;
}

// fold_batch_norm() that leaves it to WeightMemory to multiply weights which are not quantised.
void write_down_batch_norm(Graph& graph) {
  const auto by = producers(graph);
  const auto readers = count_readers(graph);
  struct Folded {
    const BatchNorm* norm;
    const float* bias;  // before
    Conv2d conv;
  };
  std::map<const void*, Folded> folded;  // by the weights before
  absorb_each<BatchNorm>(graph, [&](Node& node, const BatchNorm& norm) {
    Node* found = sole_convolution(graph, by, readers, node.inputs[0]);
    if (!found || !plain(*found)) return false;
    auto& conv = std::get<Conv2d>(found->layer);
    const void* weights = conv.weight.id();
    const auto known = folded.find(weights);
    const float* bias = conv.bias.get();
    if (weights && known != folded.end() && known->second.bias == bias &&
        known->second.norm->scale == norm.scale && known->second.norm->shift == norm.shift) {
      conv.weight = known->second.conv.weight;
      conv.bias = known->second.conv.bias;
    } else {
      fold(conv, norm);
      folded.insert_or_assign(weights, Folded{&norm, bias, conv});
    }
    found->output = node.output;
    return true;
  });
}

// Layers that share weights share them afterwards too.
void bring_in_all(Graph& graph) {
  std::map<std::pair<const void*, const void*>, Filter> known;
  for (Node& node : graph.nodes)
    if (auto* conv = std::get_if<Conv2d>(&node.layer)) {
      Filter& w = conv->weight;
      const auto [at, fresh] = known.try_emplace({w.id(), w.pending.get()}, w);
      if (fresh) bring_in(at->second);
      w = at->second;
    }
}

}  // namespace

void convolve_transposed(Graph& graph) {
  for (Node& node : graph.nodes) {
    const auto* layer = std::get_if<ConvTranspose2d>(&node.layer);
    if (!layer || layer->stride != 1 || layer->groups != 1 || layer->output_padding != 0 ||
        layer->weight.kernel_h != layer->weight.kernel_w)
      continue;
    Filter w = layer->weight;
    const std::int64_t reach = layer->dilation * (w.kernel_h - 1);
    if (2 * layer->padding < reach || layer->padding > reach) continue;
    bring_in(w);
    Conv2d conv{.weight = {w.d1, w.d0, w.kernel_h, w.kernel_w, turned(w)},
                .bias = layer->bias,
                .stride = 1,
                .padding = reach - layer->padding,
                .dilation = layer->dilation,
                .rounding = layer->rounding};
    node.layer = std::move(conv);
  }
}

void fold_batch_norm(Graph& graph) {
  write_down_batch_norm(graph);
  bring_in_all(graph);
}

void hoist_repeated_pixel(Graph& graph) {
  const auto by = producers(graph);
  const auto readers = count_readers(graph);
  for (Node& node : graph.nodes) {
    auto* conv = std::get_if<Conv2d>(&node.layer);
    if (!conv || !conv->is_pointwise() || !plain(node) || conv->weight.equalisation) continue;
    const auto joined = static_cast<std::size_t>(node.inputs[0]);
    if (by[joined] == nowhere || readers[joined] != 1) continue;
    Node& concat = graph.nodes[by[joined]];
    if (!std::holds_alternative<Concat>(concat.layer) || concat.inputs.size() < 2) continue;
    std::int64_t first = 0;
    for (std::size_t i = 0; i < concat.inputs.size(); ++i) {
      const auto v = static_cast<std::size_t>(concat.inputs[i]);
      const std::int64_t count = graph.values[v].channels;
      Node* resize = by[v] == nowhere ? nullptr : &graph.nodes[by[v]];
      if (resize && std::holds_alternative<Resize>(resize->layer) && readers[v] == 1 &&
          single_pixel(graph, by, resize->inputs[0])) {
        // The node that repeated the pixel becomes the one that convolves it.
        Conv2d of_pixel{.weight = input_channels(conv->weight, first, count, false), .bias = nullptr};
        conv->weight = input_channels(conv->weight, first, count, true);
        resize->name = node.name + ".pixel";
        resize->layer = std::move(of_pixel);
        resize->inputs.resize(1);
        graph.values[v] = {.channels = conv->out_channels(), .name = resize->name};
        graph.values[joined].channels -= count;
        concat.inputs.erase(concat.inputs.begin() + static_cast<std::ptrdiff_t>(i));
        node.inputs.push_back(resize->output);
        break;
      }
      first += count;
    }
  }
}

void fuse_residual(Graph& graph) {
  auto by = producers(graph);
  const auto readers = count_readers(graph);
  absorb_each<Add>(graph, [&](Node& node, const Add&) {
    ValueId taken = node.inputs[0], other = node.inputs[1];
    const auto made_at = [&](ValueId v) {  // the graph's input is there before any node
      const std::size_t i = by[static_cast<std::size_t>(v)];
      return i == nowhere ? -1 : static_cast<std::int64_t>(i);
    };
    if (made_at(other) > made_at(taken)) std::swap(taken, other);
    Node* conv = sole_convolution(graph, by, readers, taken);
    if (!conv || !plain(*conv) || taken == other) return false;
    by[static_cast<std::size_t>(node.output)] = by[static_cast<std::size_t>(taken)];
    conv->inputs.push_back(other);
    conv->output = node.output;
    return true;
  });
}

void fuse_activation(Graph& graph) {
  const auto by = producers(graph);
  const auto readers = count_readers(graph);
  absorb_each<Activation>(graph, [&](Node& node, const Activation& activation) {
    Node* conv = sole_convolution(graph, by, readers, node.inputs[0]);
    if (!conv || std::get<Conv2d>(conv->layer).activation != ActivationKind::none) return false;
    std::get<Conv2d>(conv->layer).activation = activation.kind;
    conv->output = node.output;
    return true;
  });
}

void classify_before_resize(Graph& graph) {
  const auto by = producers(graph);
  const auto readers = count_readers(graph);
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    auto* conv = std::get_if<Conv2d>(&graph.nodes[i].layer);
    if (!conv || !plain(graph.nodes[i]) || !conv->is_pointwise() ||
        conv->out_channels() >= conv->in_channels())
      continue;
    const auto grown = static_cast<std::size_t>(graph.nodes[i].inputs[0]);
    if (by[grown] == nowhere || readers[grown] != 1) continue;
    Node &resize = graph.nodes[by[grown]], &after = graph.nodes[i];
    const auto* how = std::get_if<Resize>(&resize.layer);
    // The two change places; the value between them keeps its number and gets the convolution's channels.
    if (!how) continue;
    after.inputs[0] = resize.inputs[0];
    resize.inputs[0] = static_cast<ValueId>(grown);
    std::swap(resize.output, after.output);
    graph.values[grown] = {.channels = conv->out_channels(), .name = after.name};
    std::swap(resize, after);
  }
}

void fuse_expansion(Graph& graph) {
  const auto by = producers(graph);
  const auto readers = count_readers(graph);
  std::vector<bool> dropped(graph.nodes.size());
  for (Node& node : graph.nodes) {
    const auto* depthwise = std::get_if<Conv2d>(&node.layer);
    if (!depthwise || !depthwise->is_depthwise() || node.inputs.size() != 1) continue;
    const Node* before = sole_convolution(graph, by, readers, node.inputs[0]);
    if (!before || before->inputs.size() != 1 || !std::get<Conv2d>(before->layer).is_padded_pointwise() ||
        depthwise->weight.quantised || std::get<Conv2d>(before->layer).weight.quantised)
      continue;
    dropped[by[static_cast<std::size_t>(node.inputs[0])]] = true;
    node.inputs = before->inputs;
    node.layer = ExpandDepthwise{std::get<Conv2d>(before->layer), *depthwise};
  }
  drop(graph, dropped);
}

void fold_gate(Graph& graph) {
  const auto by = producers(graph);
  const auto readers = count_readers(graph);
  std::vector<bool> dropped(graph.nodes.size());
  for (Node& node : graph.nodes) {
    const auto* conv = std::get_if<Conv2d>(&node.layer);
    if (!conv || !conv->is_pointwise() || conv->weight.quantised) continue;
    const auto gated = static_cast<std::size_t>(node.inputs[0]);
    if (by[gated] == nowhere || readers[gated] != 1) continue;
    const Node& mul = graph.nodes[by[gated]];
    if (!std::holds_alternative<Mul>(mul.layer) || !single_pixel(graph, by, mul.inputs[1])) continue;
    dropped[by[gated]] = true;
    node.inputs[0] = mul.inputs[0];
    node.inputs.insert(node.inputs.begin() + 1, mul.inputs[1]);
    node.layer = GatedConv2d{*conv};
  }
  drop(graph, dropped);
}

void fuse_doubling(Graph& graph) {
  const auto by = producers(graph);
  const auto readers = count_readers(graph);
  // The node that doubles a map for one reader alone, or null.
  const auto doubling = [&](ValueId v) -> Node* {
    const auto i = static_cast<std::size_t>(v);
    if (by[i] == nowhere || readers[i] != 1) return nullptr;
    const auto* resize = std::get_if<Resize>(&graph.nodes[by[i]].layer);
    return resize && resize->mode == ResizeMode::nearest && resize->factor == 2 ? &graph.nodes[by[i]]
                                                                                : nullptr;
  };
  std::vector<bool> dropped(graph.nodes.size());
  for (Node& node : graph.nodes) {
    auto* conv = std::get_if<Conv2d>(&node.layer);
    if (!conv || node.inputs.size() != 1 || conv->weight.kernel_h != 3 || conv->weight.kernel_w != 3 ||
        conv->stride != 1 || conv->padding != 1 || conv->dilation != 1 || conv->groups != 1 ||
        conv->weight.quantised || conv->rounding == Rounding::precise)
      continue;
    const auto input = static_cast<std::size_t>(node.inputs[0]);
    if (const Node* resize = doubling(node.inputs[0])) {
      dropped[by[input]] = true;
      node.inputs = resize->inputs;
      node.layer = DoubledConv2d{*conv};
      continue;
    }
    if (by[input] == nowhere || readers[input] != 1) continue;
    Node& concat = graph.nodes[by[input]];
    if (!std::holds_alternative<Concat>(concat.layer) || concat.inputs.size() < 2) continue;
    std::int64_t first = 0;
    for (std::size_t i = 0; i < concat.inputs.size(); ++i) {
      const auto v = static_cast<std::size_t>(concat.inputs[i]);
      const std::int64_t count = graph.values[v].channels;
      Node* resize = doubling(concat.inputs[i]);
      // Less is written for the doubled map's part of the sums than for the map itself.
      if (resize && count >= conv->out_channels()) {
        Conv2d of_doubled = *conv;
        of_doubled.weight = input_channels(conv->weight, first, count, false);
        of_doubled.bias = nullptr;
        of_doubled.activation = ActivationKind::none;
        conv->weight = input_channels(conv->weight, first, count, true);
        resize->name = node.name + ".doubled";
        resize->layer = DoubledConv2d{std::move(of_doubled)};
        graph.values[v] = {.channels = conv->out_channels(), .name = resize->name};
        graph.values[input].channels -= count;
        concat.inputs.erase(concat.inputs.begin() + static_cast<std::ptrdiff_t>(i));
        if (concat.inputs.size() == 1) {
          dropped[by[input]] = true;
          node.inputs[0] = concat.inputs[0];
        }
        node.inputs.push_back(resize->output);
        break;
      }
      first += count;
    }
  }
  drop(graph, dropped);
}

namespace {

bool fits_bf16(const Layer& layer) {
  if (const auto* conv = std::get_if<Conv2d>(&layer))
    return conv->groups == 1 && conv->rounding != Rounding::precise;
  return std::holds_alternative<MaxPool2d>(layer) || std::holds_alternative<Concat>(layer) ||
         std::holds_alternative<Crop>(layer) || std::holds_alternative<Resize>(layer) ||
         std::holds_alternative<Add>(layer) || std::holds_alternative<Activation>(layer);
}

}  // namespace

void choose_bf16(Graph& graph) {
  const auto by = producers(graph);
  std::vector<bool> fits(graph.values.size(), true);
  const auto refuse = [&](ValueId v) { fits[static_cast<std::size_t>(v)] = false; };
  refuse(graph.input);
  for (const auto& [name, v] : graph.outputs) refuse(v);
  for (const Node& node : graph.nodes) {
    if (single_pixel(graph, by, node.output)) refuse(node.output);
    if (fits_bf16(node.layer)) continue;
    refuse(node.output);
    // A mean reads what it is given, and sums it in fp32.
    if (!std::holds_alternative<AdaptiveAvgPool2d>(node.layer))
      for (ValueId v : node.inputs) refuse(v);
  }
  for (std::size_t v = 0; v < fits.size(); ++v) graph.values[v].dtype = fits[v] ? DType::bf16 : DType::f32;
}

namespace {

// Whether the layer has kernels that read 8 bits and multiply by quantised weights.
bool fits_int8(const Node& node) {
  const auto* conv = std::get_if<Conv2d>(&node.layer);
  return conv && conv->weight.quantised && conv->activation != ActivationKind::sigmoid && sums_fit(*conv) &&
         (conv->is_depthwise() ? node.inputs.size() == 1 : conv->weight.d1 % 4 == 0);
}

constexpr std::int64_t enough_products = 64;  // of a number that is quantised, for that to pay

// Whether the layer is one to quantise what it reads, and multiply that by quantised weights.
bool quantises_input(const Node& node) {
  const auto* conv = std::get_if<Conv2d>(&node.layer);
  if (!conv || conv->is_depthwise() || conv->weight.equalisation || !fits_int8(node)) return false;
  const Filter& w = conv->weight;
  return w.kernel_h * w.kernel_w * w.d0 / conv->groups >= enough_products * conv->stride * conv->stride;
}

// Whether it computes in 8 bits, once those are chosen.
bool computes_in_int8(const Graph& graph, const Node& node) {
  const Value& in = graph.values[static_cast<std::size_t>(node.inputs[0])];
  return in.dtype == DType::u8 ? fits_int8(node) && !std::get<Conv2d>(node.layer).weight.equalisation
                               : in.quantisation != Quantisation{} && quantises_input(node);
}

// A map that may be in 8 bits.
struct Int8Candidate {
  bool fits = false, wanted = false;
  std::size_t same = 0;  // the map whose range is this one's, or one nearer to it; itself where its own is
  ValueRange range;
};

}  // namespace

std::span<const ValueId> moved_values(const Node& node) {
  const auto* resize = std::get_if<Resize>(&node.layer);
  const bool joins = std::holds_alternative<Concat>(node.layer);
  const bool moves = joins || std::holds_alternative<MaxPool2d>(node.layer) ||
                     std::holds_alternative<Crop>(node.layer) ||
                     (resize && resize->mode == ResizeMode::nearest);
  // But for a concatenation, other inputs are there for their sizes.
  return std::span(node.inputs).first(joins ? node.inputs.size() : moves ? 1 : 0);
}

std::optional<std::size_t> divider(const Graph& graph, const Node& reader) {
  const auto v = static_cast<std::size_t>(reader.inputs[0]);
  const std::size_t made = producers(graph)[v];
  if (made == nowhere || count_readers(graph)[v] != 1) return std::nullopt;
  const Node& before = graph.nodes[made];
  const auto* conv = std::get_if<Conv2d>(&before.layer);
  const bool keeps_factors =
      conv && before.inputs.size() == 1 &&
      (conv->activation == ActivationKind::none || conv->activation == ActivationKind::relu ||
       conv->activation == ActivationKind::relu6);
  return keeps_factors ? std::optional(made) : std::nullopt;
}

namespace {

// That of a layer whose input is to be divided, if it has one. Of relu6 the range limits from above, so that
// must end below what 6 becomes in any channel.
std::optional<std::size_t> fitting_divider(const Graph& graph, const Node& reader) {
  const auto found = divider(graph, reader);
  if (!found || std::get<Conv2d>(graph.nodes[*found].layer).activation != ActivationKind::relu6) return found;
  const Conv2d& conv = std::get<Conv2d>(reader.layer);
  const auto& range = graph.values[static_cast<std::size_t>(reader.inputs[0])].range;
  const float* divisors = conv.weight.equalisation.get();
  const float largest = *std::max_element(divisors, divisors + conv.in_channels());
  return range && range->highest <= 6 && range->highest * largest <= 6 ? found : std::nullopt;
}

}  // namespace

void choose_int8(Graph& graph) {
  const std::size_t count = graph.values.size();
  const auto by = producers(graph);
  std::vector<Int8Candidate> maps(count);
  const auto at = [&](ValueId v) -> Int8Candidate& { return maps[static_cast<std::size_t>(v)]; };
  for (const Node& node : graph.nodes) {
    bool& fits = at(node.output).fits;
    const bool has_range = graph.values[static_cast<std::size_t>(node.output)].range.has_value();
    if (const auto moved = moved_values(node); !moved.empty())
      fits = std::ranges::all_of(moved, [&](ValueId v) { return at(v).fits; });
    else if (std::holds_alternative<Mul>(node.layer))
      fits = has_range && at(node.inputs[0]).fits && single_pixel(graph, by, node.inputs[1]);
    else
      fits = has_range && std::holds_alternative<Conv2d>(node.layer);
    if (single_pixel(graph, by, node.output)) fits = false;
  }
  for (const auto& [name, v] : graph.outputs) at(v).fits = false;
  const auto in_int8 = [&](ValueId v) { return at(v).fits && at(v).wanted; };
  // From the end: who reads 8 bits.
  for (auto node = graph.nodes.rbegin(); node != graph.nodes.rend(); ++node) {
    const auto* conv = std::get_if<Conv2d>(&node->layer);
    const bool equalised = conv && conv->weight.equalisation;
    if (fits_int8(*node) && (!equalised || fitting_divider(graph, *node)))  // and its residual
      for (ValueId v : node->inputs) at(v).wanted = true;
    if (!in_int8(node->output)) continue;
    if (std::holds_alternative<Mul>(node->layer)) at(node->inputs[0]).wanted = true;
    for (ValueId v : moved_values(*node)) at(v).wanted = true;
  }
  // What is moved from one to another has the range of both: the first of each is where it is kept.
  const auto first_of = [&](ValueId of) {
    auto v = static_cast<std::size_t>(of);
    while (maps[v].same != v) v = maps[v].same;
    return v;
  };
  for (std::size_t v = 0; v < count; ++v) {
    maps[v].same = v;
    maps[v].range = graph.values[v].range.value_or(ValueRange{});
  }
  for (const Node& node : graph.nodes) {
    if (!in_int8(node.output)) continue;
    for (ValueId v : moved_values(node)) {
      const std::size_t a = first_of(node.output), b = first_of(v);
      maps[a].range = {std::min(maps[a].range.lowest, maps[b].range.lowest),
                       std::max(maps[a].range.highest, maps[b].range.highest)};
      maps[b].same = a;
    }
  }
  for (std::size_t i = 0; i < count; ++i)
    if (const auto v = static_cast<ValueId>(i); in_int8(v)) {
      graph.values[i].dtype = DType::u8;
      graph.values[i].quantisation = quantisation_of(maps[first_of(v)].range);
    }
  for (const Node& node : graph.nodes) {
    Value& in = graph.values[static_cast<std::size_t>(node.inputs[0])];
    if (in.dtype == DType::f32 && in.range && quantises_input(node) && node.inputs[0] != graph.input &&
        !single_pixel(graph, by, node.inputs[0]))
      in.quantisation = quantisation_of(*in.range);
  }
}

void equalise(Graph& graph) {
  for (Node& node : graph.nodes) {
    auto* conv = std::get_if<Conv2d>(&node.layer);
    if (!conv || !conv->weight.equalisation || !fits_int8(node) ||
        graph.values[static_cast<std::size_t>(node.inputs[0])].dtype != DType::u8)
      continue;
    const auto before = fitting_divider(graph, node);
    if (!before) continue;
    BatchNorm divide{std::vector<double>(static_cast<std::size_t>(conv->in_channels())),
                     std::vector<double>(static_cast<std::size_t>(conv->in_channels()))};
    for (std::size_t c = 0; c < divide.scale.size(); ++c)
      divide.scale[c] = 1 / static_cast<double>(conv->weight.equalisation.get()[c]);
    fold(std::get<Conv2d>(graph.nodes[*before].layer), divide);
    conv->weight.equalisation.reset();
  }
}

void dequantise_others(Graph& graph) {
  std::map<std::pair<const void*, const void*>, std::shared_ptr<const float>> known;  // layers run twice
  for (Node& node : graph.nodes) {
    auto* conv = std::get_if<Conv2d>(&node.layer);
    if (!conv || !conv->weight.quantised) continue;
    if (computes_in_int8(graph, node)) continue;
    Filter& w = conv->weight;
    auto& floats = known[{w.quantised.get(), w.scale.get()}];
    if (!floats) floats = dequantised(w);
    w.data = floats;
    w.quantised.reset();
    w.scale.reset();
    w.equalisation.reset();
  }
}

void optimise_for_device(Graph& graph) {
  convolve_transposed(graph);
  write_down_batch_norm(graph);
  hoist_repeated_pixel(graph);
  classify_before_resize(graph);
  fuse_residual(graph);
  fuse_activation(graph);
}

void fuse_for_processor(Graph& graph, bool few_bits) {
  fuse_expansion(graph);
  fold_gate(graph);
  if (!few_bits) fuse_doubling(graph);
}

void optimise(Graph& graph) {
  optimise_for_device(graph);
  bring_in_all(graph);
  fuse_for_processor(graph, false);
}

}  // namespace atrous
