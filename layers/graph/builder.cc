#include "layers/graph/builder.h"

#include <algorithm>
#include <bit>
#include <functional>

#include "layers/base/checked.h"
#include "layers/base/error.h"

namespace atrous {

namespace {

Var append(Builder& builder, std::string name, Layer layer, std::vector<ValueId> inputs,
           std::int64_t channels) {
  Graph& graph = builder.graph;
  const auto id = static_cast<ValueId>(graph.values.size());
  graph.values.push_back({.channels = channels, .name = name});
  graph.nodes.push_back({std::move(name), std::move(layer), std::move(inputs), id});
  return {&builder, id};
}

std::string expected_text(const std::vector<std::int64_t>& shape) {
  std::string out = "[";
  for (std::size_t i = 0; i < shape.size(); ++i)
    out += (i ? ", " : "") + (shape[i] < 0 ? "any" : std::to_string(shape[i]));
  return out + "]";
}

// No network has so many keys: a file whose names ask for more is not worth the memory of the graph.
constexpr std::size_t most_missing = 100'000;

bool fits(const std::vector<std::int64_t>& expected, const std::vector<std::int64_t>& found) {
  return std::ranges::equal(expected, found,
                            [](std::int64_t e, std::int64_t f) { return f > 0 && (e < 0 || e == f); });
}

bool is_float(DType type) {
  return type == DType::f16 || type == DType::bf16 || type == DType::f32 || type == DType::f64;
}

// Infinities and NaNs are the floats whose exponent bits are all ones.
bool all_finite(const float* values, std::int64_t count) {
  constexpr std::uint32_t exponent = 0x7f800000;
  bool finite = true;
  for (std::int64_t i = 0; i < count; ++i)
    finite &= (std::bit_cast<std::uint32_t>(values[i]) & exponent) != exponent;
  return finite;
}

Weights sum_of(const Weights& a, const Weights& b, std::int64_t count) {
  std::shared_ptr<float[]> sums(new float[static_cast<std::size_t>(count)]);
  std::transform(a.get(), a.get() + count, b.get(), sums.get(), std::plus<>());
  return {sums, sums.get()};
}

std::string join(const std::string& path, std::string_view name) {
  return path.empty() ? std::string(name) : path + "." + std::string(name);
}

}  // namespace

std::int64_t Var::channels() const { return builder->graph.values[static_cast<std::size_t>(id)].channels; }

Var graph_input(Builder& builder, std::int64_t channels) {
  builder.graph.input = static_cast<ValueId>(builder.graph.values.size());
  builder.graph.values.push_back({.channels = channels});
  return {&builder, builder.graph.input};
}

Module Module::operator[](std::string_view name) const {
  Module below(*builder_, join(path_, name));
  if (first_path_) below.first_path_ = join(*first_path_, name);
  return below;
}

Module Module::registered_twice(const Module& first, const Module& later) {
  Module both = later;
  both.first_path_ = first.path_;
  return both;
}

std::string Module::key_of(std::string_view name) const {
  return join(builder_->place_in_file ? builder_->place_in_file(path_) : path_, name);
}

bool Module::has(std::string_view name, bool published) const {
  if (builder_->published) return published;
  if (builder_->place_in_file) return builder_->state.has(builder_->place_in_file(join(path_, name)));
  return builder_->state.has(join(path_, name)) ||
         (first_path_ && builder_->state.has(join(*first_path_, name)));
}

std::int64_t Module::channels(std::int64_t published) const {
  if (!builder_->published) return published;
  return std::max<std::int64_t>(1, published * builder_->published->width / 64);
}

std::int64_t Module::classes(std::int64_t published) const {
  return builder_->published && builder_->published->classes > 0 ? builder_->published->classes : published;
}

std::int64_t Module::size(std::string_view name, std::size_t dimension, std::int64_t otherwise) const {
  const StateTensor* tensor = builder_->state.find(key_of(name));
  return tensor && dimension < tensor->shape.size() ? tensor->shape[dimension] : otherwise;
}

const Parameter& Module::known(std::string_view name, const std::vector<std::int64_t>& expected,
                               bool stored) const {
  const std::string key = key_of(name);
  if (const auto found = builder_->parameters.find(key);
      found != builder_->parameters.end() &&
      (!(found->second.data || found->second.quantised || found->second.stored) ||
       fits(expected, found->second.shape)) &&
      (stored || !found->second.stored))
    return found->second;
  return builder_->parameters[key] = read(name, expected, stored);
}

Parameter Module::parameter(std::string_view name, const std::vector<std::int64_t>& expected) const {
  Parameter found = known(name, expected, false);
  if (found.quantised) {
    const std::int64_t out = found.shape[0], count = checked_product(found.shape, "weights");
    found.data = dequantised({out, count / out, 1, 1, nullptr, found.quantised, found.scale});
    found.quantised = nullptr;
  }
  return found;
}

Filter Module::filter(std::string_view name, const std::vector<std::int64_t>& expected) const {
  const Parameter& p = known(name, expected, true);
  Filter filter{p.shape[0], p.shape[1], p.shape[2], p.shape[3], p.data, p.quantised, p.scale};
  if (p.stored) filter.pending = std::make_shared<const PendingWeights>(PendingWeights{p.stored, {}});
  return filter;
}

void Module::published_key(std::string_view name, DType dtype, const std::vector<std::int64_t>& shape) const {
  PublishedShapes& published = *builder_->published;
  const std::string key = key_of(name);
  if (first_path_) {
    const std::string first = join(*first_path_, name);
    published.keys.add(first, {dtype, shape, nullptr});
    published.same_as[key] = first;
  }
  published.keys.add(key, {dtype, shape, nullptr});
}

Parameter Module::read(std::string_view name, const std::vector<std::int64_t>& expected, bool stored) const {
  const std::string later = key_of(name), first = first_path_ ? join(*first_path_, name) : later;
  const std::string& key = builder_->state.find(later) ? later : first;
  KeyReport& report = builder_->report;
  Parameter placeholder{expected, nullptr};
  std::ranges::replace(placeholder.shape, -1, 0);
  if (builder_->published) {
    if (std::ranges::any_of(placeholder.shape, [](std::int64_t size) { return size < 1; }))
      fail(ErrorCode::invalid_argument, key, ": its published shape is not known, only ",
           expected_text(expected));
    published_key(name, DType::f32, expected);
    return placeholder;
  }

  ++report.wanted;
  const std::size_t index = builder_->state.index_of(key);
  if (index == builder_->state.size()) {
    report.missing.add(later, ": missing, expected ", expected_text(expected));
    if (report.missing.count() > most_missing)
      fail(ErrorCode::mismatch, "the checkpoint does not fit the network: more than ", most_missing,
           " keys are missing:", report.missing.in_lines().c_str());
    return placeholder;
  }
  report.read[index] = true;
  const StateTensor& tensor = builder_->state.entries()[index].second;
  if (const std::size_t other = builder_->state.index_of(first); other < report.read.size()) {
    report.read[other] = true;
    if (const StateTensor& twin = builder_->state.entries()[other].second; twin.shape != tensor.shape)
      report.misshaped.add(first, ": expected ", shape_text(tensor.shape), " as ", later, " has, found ",
                           shape_text(twin.shape));
  }
  if (!fits(expected, tensor.shape)) {
    report.misshaped.add(key, ": expected ", expected_text(expected), ", found ", shape_text(tensor.shape));
    return placeholder;
  }
  // Integers are a quantised network's: without its scales they say nothing.
  constexpr std::size_t convolution_rank = 4;
  if (expected.size() == convolution_rank && tensor.dtype == DType::i8 &&
      builder_->state.find(key + ".scale")) {
    const Parameter scale = read(str_cat(name, ".scale"), {tensor.shape[0]}, false);
    if (!scale.data) return placeholder;
    return {tensor.shape,
            nullptr,
            {tensor.data, reinterpret_cast<const std::int8_t*>(tensor.data.get())},
            scale.data};
  }
  if (expected.size() == convolution_rank && !is_float(tensor.dtype)) {
    report.unusable.add(key, ": ", name_of(tensor.dtype), ": a quantised checkpoint");
    return placeholder;
  }
  if (stored && tensor.stored) return {.shape = tensor.shape, .data = nullptr, .stored = tensor.stored};
  Parameter found{tensor.shape, to_float(tensor)};
  if (!all_finite(found.data.get(), tensor.elements())) {
    report.unusable.add(key, ": holds values that are infinite or not a number");
    return placeholder;
  }
  return found;
}

void Module::counter(std::string_view name) const {
  if (builder_->published) {
    // Of torch's batch norms alone.
    if (builder_->norms.counted && !builder_->place_in_file && !builder_->published->keys.find(key_of(name)))
      published_key(name, DType::i64, {});
    return;
  }
  for (const std::string& key : {key_of(name), first_path_ ? join(*first_path_, name) : key_of(name)}) {
    const std::size_t index = builder_->state.index_of(key);
    if (index < builder_->state.size()) builder_->report.read[index] = true;
  }
}

namespace {

// Null where it is of no use: of grouped convolutions, and of a single channel.
Weights read_equalisation(Module m, const Conv2d& layer) {
  const Weights divisors = m.parameter("weight.equalisation", {layer.in_channels()}).data;
  if (divisors && *std::min_element(divisors.get(), divisors.get() + layer.in_channels()) <= 0)
    m.builder().report.unusable.add(m.path(), ".weight.equalisation: expected positive numbers");
  const bool used = layer.in_channels() > 1 && (layer.groups == 1 || layer.is_depthwise());
  return used ? divisors : nullptr;
}

}  // namespace

Var conv2d(Module m, Var x, const ConvOptions& options) {
  const std::int64_t known = x.channels() > 0 ? x.channels() : -1, k = options.kernel;
  const std::int64_t any = m.builder().published ? options.out : -1,
                     any_group = options.grouped && !m.builder().published ? -1 : known;
  const Filter weight =
      options.depthwise ? m.filter("weight", {known, 1, k, k}) : m.filter("weight", {any, any_group, k, k});
  const std::int64_t out = weight.d0, in = weight.d1;
  Conv2d layer{.weight = {out, in, k, k, weight.data, weight.quantised, weight.scale, weight.pending},
               .bias = nullptr,
               .stride = options.stride,
               .padding = options.padding == same_padding ? options.dilation * (k - 1) / 2 : options.padding,
               .dilation = options.dilation,
               .groups = options.depthwise ? out : 1,
               .rounding = std::max(options.rounding, m.builder().rounding)};
  if (options.grouped && known > 0 && in > 0) {
    layer.groups = known / in;
    if (known % in != 0 || out % layer.groups != 0)
      m.builder().report.misshaped.add(m.path(), ".weight: expected ", expected_text({out, known, k, k}),
                                       " or an equal share of it per group, found ",
                                       shape_text(std::vector{out, in, k, k}));
  }
  if (options.bias) layer.bias = m.parameter("bias", {out > 0 ? out : -1}).data;
  if (weight.quantised && m.size("weight.correction", 0, 0) > 0) {
    const Weights correction = m.parameter("weight.correction", {out}).data;
    layer.bias = correction && layer.bias ? sum_of(correction, layer.bias, out) : correction;
  }
  if (weight.quantised && m.size("weight.equalisation", 0, 0) > 0)
    layer.weight.equalisation = read_equalisation(m, layer);
  return append(*x.builder, m.path(), std::move(layer), {x.id}, out);
}

Var conv_transpose2d(Module m, Var x, const ConvTransposeOptions& options) {
  const std::int64_t known = x.channels() > 0 ? x.channels() : -1, k = options.kernel;
  const std::vector<std::int64_t> expected{known,
                                           options.depthwise       ? 1
                                           : m.builder().published ? options.out
                                                                   : -1,
                                           k, k};
  Filter weight = m.filter("weight", expected);
  if (weight.quantised) weight = {weight.d0, weight.d1, k, k, m.parameter("weight", expected).data};
  const std::int64_t out = options.depthwise ? weight.d0 : weight.d1;
  ConvTranspose2d layer{.weight = {weight.d0, weight.d1, k, k, weight.data, nullptr, nullptr, weight.pending},
                        .bias = nullptr,
                        .stride = options.stride,
                        .padding = options.padding,
                        .output_padding = options.output_padding,
                        .groups = options.depthwise ? out : 1,
                        .rounding = std::max(options.rounding, m.builder().rounding)};
  if (options.bias) layer.bias = m.parameter("bias", {out > 0 ? out : -1}).data;
  return append(*x.builder, m.path(), std::move(layer), {x.id}, out);
}

namespace {

// Of `channels` channels, -1 for any number; without values where they are missing.
BatchNorm read_batch_norm(Module m, std::int64_t channels, double eps) {
  const auto weight = m.parameter("weight", {channels}), bias = m.parameter("bias", {channels}),
             mean = m.parameter("running_mean", {channels}),
             variance = m.parameter("running_var", {channels});
  m.counter("num_batches_tracked");
  const std::int64_t count = weight.shape[0];
  const bool same_size = bias.shape[0] == count && mean.shape[0] == count && variance.shape[0] == count;
  if (!(weight.data && bias.data && mean.data && variance.data && same_size)) return {};
  const float smallest = *std::min_element(variance.data.get(), variance.data.get() + count);
  if (smallest < 0)
    m.builder().report.unusable.add(m.path(), ".running_var: expected no negative value, found ", smallest);
  return make_batch_norm(count, weight.data.get(), bias.data.get(), mean.data.get(), variance.data.get(),
                         eps);
}

}  // namespace

Var batch_norm(Module m, Var x, double eps) {
  const std::int64_t channels = x.channels() > 0 ? x.channels() : -1;
  BatchNorm layer = read_batch_norm(m, channels, eps);
  const std::int64_t count = channels > 0 ? channels : layer.channels();
  return append(*x.builder, m.path(), std::move(layer), {x.id}, count);
}

Var batch_norm(Module m, Var x) { return batch_norm(m, x, m.builder().norms.eps); }

Var affine(Module m, Var x) {
  const std::int64_t channels = x.channels() > 0 ? x.channels() : -1;
  const auto weight = m.parameter("weight", {channels});
  const std::int64_t count = weight.shape[0];
  const auto bias = m.parameter("bias", {count > 0 ? count : -1});
  BatchNorm layer;
  if (weight.data && bias.data) {
    layer.scale.assign(weight.data.get(), weight.data.get() + count);
    layer.shift.assign(bias.data.get(), bias.data.get() + count);
  }
  return append(*x.builder, m.path(), std::move(layer), {x.id}, count);
}

Var l2_norm(Module m, Var x, double eps) {
  const auto weight = m.parameter("weight", {x.channels() > 0 ? x.channels() : -1});
  const std::int64_t count = weight.shape[0];
  return append(*x.builder, m.path(), L2Norm{.channels = count, .eps = eps, .weight = weight.data}, {x.id},
                count);
}

namespace {

// Layers without weights are named after the module whose output they take. The nodes' outputs ascend, as
// append() numbers them.
std::string derived_name(Var x, std::string_view suffix) {
  const auto& nodes = x.builder->graph.nodes;
  const auto producer = std::ranges::lower_bound(nodes, x.id, {}, &Node::output);
  return producer == nodes.end() || producer->output != x.id ? std::string(suffix)
                                                             : producer->name + "." + std::string(suffix);
}

}  // namespace

Var activation(Var x, ActivationKind kind) {
  return append(*x.builder, derived_name(x, name_of(kind)), Activation{kind}, {x.id}, x.channels());
}

Var relu(Var x) { return activation(x, ActivationKind::relu); }

Var max_pool2d(std::string name, Var x, const MaxPool2d& layer) {
  return append(*x.builder, std::move(name), layer, {x.id}, x.channels());
}

Var max_unpool2d(std::string name, Var x, Var before, std::int64_t kernel) {
  return append(*x.builder, std::move(name), MaxUnpool2d{kernel}, {x.id, before.id}, x.channels());
}

Var adaptive_avg_pool2d(std::string name, Var x, const AdaptiveAvgPool2d& layer) {
  return append(*x.builder, std::move(name), layer, {x.id}, x.channels());
}

Var resize_like(std::string name, Var x, Var size_of, const Resize& layer) {
  return append(*x.builder, std::move(name), layer, {x.id, size_of.id}, x.channels());
}

Var resize_by(std::string name, Var x, double factor, Resize layer) {
  layer.factor = factor;
  return append(*x.builder, std::move(name), layer, {x.id}, x.channels());
}

Var crop_like(std::string name, Var x, Var size_of, const Crop& layer) {
  return append(*x.builder, std::move(name), layer, {x.id, size_of.id}, x.channels());
}

Var concat(std::string name, const std::vector<Var>& parts) {
  std::vector<ValueId> ids;
  std::int64_t channels = 0;
  bool known = true;
  for (Var part : parts) {
    ids.push_back(part.id);
    channels += part.channels();
    known = known && part.channels() > 0;
  }
  return append(*parts.front().builder, std::move(name), Concat{}, std::move(ids), known ? channels : 0);
}

namespace {

// What the operations on two maps have in common. The second may have one channel where `gate` says so.
Var combine(Var a, Var b, std::string_view done, Layer layer, bool gate = false) {
  Builder& builder = *a.builder;
  const std::string name = derived_name(a, name_of(layer));
  if (a.channels() > 0 && b.channels() > 0 && a.channels() != b.channels() && !(gate && b.channels() == 1))
    builder.report.misshaped.add(name, ": ", a.channels(), " channels cannot be ", done, " ", b.channels());
  return append(builder, name, std::move(layer), {a.id, b.id}, a.channels());
}

}  // namespace

Var add(Var a, Var b) { return combine(a, b, "added to", Add{}); }

Var mul(Var a, Var gate) { return combine(a, gate, "multiplied by", Mul{}, true); }

Var maximum(Var a, Var b) { return combine(a, b, "compared with", Max{}); }

Var scale(Var x, float factor) {
  return append(*x.builder, derived_name(x, Scale::name), Scale{factor}, {x.id}, x.channels());
}

Var linear(Module m, Var x, const LinearOptions& options) {
  const std::int64_t known = x.channels() > 0 ? x.channels() : -1;
  const auto weight = m.parameter("weight", {m.builder().published ? options.out : -1, known});
  const std::int64_t out = weight.shape[0];
  Conv2d layer{
      .weight = {out, weight.shape[1], 1, 1, weight.data}, .bias = nullptr, .rounding = m.builder().rounding};
  if (options.bias) layer.bias = m.parameter("bias", {out > 0 ? out : -1}).data;
  return append(*x.builder, m.path(), std::move(layer), {x.id}, out);
}

Var encoding(Module m, Module norm, Var x, std::int64_t published, double eps) {
  const std::int64_t known = x.channels() > 0 ? x.channels() : -1;
  const auto codewords = m.parameter("codewords", {m.builder().published ? published : -1, known});
  const std::int64_t count = codewords.shape[0], any = count > 0 ? count : -1;
  const auto smoothing = m.parameter("scale", {any});
  const BatchNorm statistics = read_batch_norm(norm, any, eps);
  const auto rounded = [](const std::vector<double>& values) {
    auto floats = std::make_shared<std::vector<float>>(values.begin(), values.end());
    return Weights(floats, floats->data());
  };
  Encoding layer{.codewords = count,
                 .channels = codewords.shape[1],
                 .codeword = codewords.data,
                 .smoothing = smoothing.data,
                 .scale = rounded(statistics.scale),
                 .shift = rounded(statistics.shift)};
  return append(*x.builder, m.path(), std::move(layer), {x.id}, codewords.shape[1]);
}

Var group_norm(Module m, Var x, std::int64_t groups, double eps) {
  const std::int64_t known = x.channels() > 0 ? x.channels() : -1;
  const auto weight = m.parameter("weight", {known});
  const std::int64_t count = weight.shape[0];
  const auto bias = m.parameter("bias", {count > 0 ? count : -1});
  if (count % groups != 0)
    m.builder().report.misshaped.add(m.path(), ".weight: expected a multiple of ", groups,
                                     " channels, a group each, found ", count);
  GroupNorm layer{.channels = count, .groups = groups, .eps = eps, .weight = weight.data, .bias = bias.data};
  return append(*x.builder, m.path(), std::move(layer), {x.id}, count);
}

Var position_attention(std::string name, Var query, Var key, Var value) {
  return append(*value.builder, std::move(name), PositionAttention{}, {query.id, key.id, value.id},
                value.channels());
}

void read_unused(Builder& builder, const std::function<void()>& build) {
  Graph& graph = builder.graph;
  const auto nodes = static_cast<std::ptrdiff_t>(graph.nodes.size()),
             values = static_cast<std::ptrdiff_t>(graph.values.size());
  build();
  graph.nodes.erase(graph.nodes.begin() + nodes, graph.nodes.end());
  graph.values.erase(graph.values.begin() + values, graph.values.end());
}

}  // namespace atrous
