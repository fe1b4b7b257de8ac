// Writing a network down the way torch does: functions of a module's weights and of the value that flows
// through.
//
//   Var bottleneck(Module m, Var x, ...) {
//     Var out = relu(batch_norm(m["bn1"], conv2d(m["conv1"], x)));
//
// A Module is a place in the state dict: m["conv1"] of the module "backbone.layer1.0" reads
// "backbone.layer1.0.conv1.weight". A Var is a value of the graph that is being built.
//
// No function here throws over a key: missing and misshaped tensors are collected in the KeyReport, building
// goes on with a placeholder, and the caller reports all of them at once.
//
// The same functions say what shapes a published network has. A Builder without a state dict takes the sizes
// that the functions name as published (ConvOptions::out, Module::has) and writes down every key with its
// shape: seeded weights come from there.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "layers/graph/graph.h"
#include "layers/graph/key_list.h"

namespace atrous {

// Disagreements between a state dict and the network, one sentence each.
struct KeyReport {
  KeyList missing, misshaped, unusable;
  std::size_t wanted = 0;  // how many keys the network has
  std::vector<bool> read;  // by the state dict's entries: those that the network knows
};

// A network without a checkpoint.
struct PublishedShapes {
  std::int64_t width = 64;   // channels out of 64: at 32 the network is half as wide as published
  std::int64_t classes = 0;  // 0: as many as published
  // Filled by building: every key with its dtype and shape, without values; and of keys that stand for one
  // tensor with another, registered_twice(), the name of the first.
  StateDict keys = {};
  std::map<std::string, std::string, std::less<>> same_as = {};
};

// A tensor of the state dict as floats; data is null where the tensor is missing or of no use.
struct Parameter {
  std::vector<std::int64_t> shape;
  std::shared_ptr<const float> data;
  // Of I8 beside a tensor NAME.scale, [shape[0]]: in place of data.
  std::shared_ptr<const std::int8_t> quantised = nullptr;
  std::shared_ptr<const float> scale = nullptr;
  std::shared_ptr<const StoredWeights> stored = nullptr;  // still in its file: in place of data
};

struct Builder {
  explicit Builder(const StateDict& dict) : state(dict) { report.read.resize(dict.size()); }
  explicit Builder(PublishedShapes shapes) : published(std::move(shapes)), state(published->keys) {}
  Builder(const Builder&) = delete;
  Builder& operator=(const Builder&) = delete;

  std::optional<PublishedShapes> published;  // instead of a state dict
  const StateDict& state;
  Graph graph;
  KeyReport report;
  std::map<std::string, Parameter, std::less<>> parameters;  // read so far, by key: modules may run twice
  bool aux = false;                                          // whether an auxiliary head is to be built too
  // How the sums of convolutions may round that do not ask for less themselves.
  Rounding rounding = Rounding::any;
  // Of batch norms whose place in a network says nothing else. `counted`: training keeps a counter beside
  // them.
  struct Norms {
    double eps = 1e-5;
    bool counted = true;
  } norms = {};
  // What a file of another origin calls a module's place: "res2a_branch1" for "layer2.block1.shortcut.conv".
  // Null: as the modules are called. Set by a family before its network reads anything.
  std::function<std::string(std::string_view place)> place_in_file = nullptr;
};

// A value of builder's graph.
struct Var {
  Builder* builder;
  ValueId id;

  std::int64_t channels() const;  // 0 while unknown (behind a missing weight)
};

// Makes the graph's input.
Var graph_input(Builder&, std::int64_t channels);

class Module {
 public:
  explicit Module(Builder& builder, std::string path = "") : builder_(&builder), path_(std::move(path)) {}

  Module operator[](std::string_view name) const;
  Module operator[](int index) const { return (*this)[std::to_string(index)]; }

  // A module that the publisher's code registers under two names: a file has both, and torch copies both into
  // one tensor, the later one last. Reads the later, and the first where a file has that alone.
  static Module registered_twice(const Module& first, const Module& later);

  const std::string& path() const { return path_; }
  Builder& builder() const { return *builder_; }

  // Whether the state dict has any key under `name`; without a state dict, `published`.
  bool has(std::string_view name, bool published = false) const;

  // `published` channels, fewer where a network narrower than that is asked for; and so many classes unless
  // another number is asked for. For ConvOptions::out: where there is a state dict, the weights decide.
  std::int64_t channels(std::int64_t published) const;
  std::int64_t classes(std::int64_t published) const;

  // The size of tensor path.name along a dimension, or `otherwise` where there is no such tensor or
  // dimension.
  std::int64_t size(std::string_view name, std::size_t dimension, std::int64_t otherwise) const;

  // The tensor path.name, whose shape must equal `expected`, where -1 stands for any size. Floats, all
  // finite, no integers for a convolution. What is wrong goes to the report: data null, shape with 0 for -1.
  // Without a state dict data is null too, and no size may be -1: Error(invalid_argument).
  Parameter parameter(std::string_view name, const std::vector<std::int64_t>& expected) const;

  // The same of a convolution's weights, which may be quantised (layers/ops/filter.h): then they stay so. Nor
  // are those read that are still in their file: whether they are finite shows when they are packed.
  Filter filter(std::string_view name, const std::vector<std::int64_t>& expected) const;

  // A whole number that training keeps beside the weights and nothing here reads (num_batches_tracked). May
  // be missing.
  void counter(std::string_view name) const;

 private:
  // stored: whether the values may stay in their file.
  const Parameter& known(std::string_view name, const std::vector<std::int64_t>& expected, bool stored) const;
  Parameter read(std::string_view name, const std::vector<std::int64_t>& expected, bool stored) const;
  void published_key(std::string_view name, DType, const std::vector<std::int64_t>& shape) const;
  std::string key_of(std::string_view name) const;  // of a tensor of this module, in the file

  Builder* builder_;
  std::string path_;
  std::optional<std::string> first_path_ = std::nullopt;  // of a module that is registered twice
};

// The padding that keeps a map's size at stride 1, dilation * (kernel - 1) / 2: what these networks use
// throughout.
constexpr std::int64_t same_padding = -1;

struct ConvOptions {
  std::int64_t out = 0;     // channels as published, for a Builder without a state dict; else not read
  std::int64_t kernel = 1;  // of a square kernel
  std::int64_t stride = 1, padding = same_padding, dilation = 1;
  bool bias = false;
  bool grouped = false;    // groups = channels of x / weight.shape[1]; otherwise these must be equal
  bool depthwise = false;  // groups = channels of x = channels out
  Rounding rounding = Rounding::any;
};

// Keys: weight, and bias where the module has one. The number of output channels is read from the weight's
// shape. Of a quantised checkpoint weight.scale too; weight.correction, [channels out], what to add to the
// sums for what rounding the weights changed in the mean; and weight.equalisation, [channels of x], positive
// numbers, Filter's.
Var conv2d(Module, Var x, const ConvOptions& = {});

struct ConvTransposeOptions {
  std::int64_t out = 0;  // as ConvOptions::out
  std::int64_t kernel = 2, stride = 2, padding = 0, output_padding = 0;
  bool bias = false;
  bool depthwise = false;  // groups = channels of x = channels out
  Rounding rounding = Rounding::any;
};

// Keys: weight, [channels of x, channels out, kernel, kernel] or depthwise [channels, 1, kernel, kernel], and
// bias where the module has one.
Var conv_transpose2d(Module, Var x, const ConvTransposeOptions&);

// Keys: weight, bias, running_mean, running_var; num_batches_tracked is not read. A negative variance is
// reported.
Var batch_norm(Module, Var x, double eps);
Var batch_norm(Module, Var x);  // of the builder's eps

// A batch norm whose statistics are in its weights already, x * weight + bias. Keys: weight, bias.
Var affine(Module, Var x);

// Keys: weight, a factor for each channel. layers/ops/l2_norm.h.
Var l2_norm(Module, Var x, double eps = 1e-10);

Var activation(Var x, ActivationKind);
Var relu(Var x);
Var max_pool2d(std::string name, Var x, const MaxPool2d&);
// `before` is the map that a pool of `kernel` x `kernel` windows, side by side, took;
// layers/ops/max_unpool2d.h.
Var max_unpool2d(std::string name, Var x, Var before, std::int64_t kernel = 2);
Var adaptive_avg_pool2d(std::string name, Var x, const AdaptiveAvgPool2d&);
Var resize_like(std::string name, Var x, Var size_of, const Resize&);
Var resize_by(std::string name, Var x, double factor, Resize = {});
Var crop_like(std::string name, Var x, Var size_of, const Crop&);
Var concat(std::string name, const std::vector<Var>&);
Var add(Var a, Var b);
Var mul(Var a, Var gate);
Var maximum(Var a, Var b);
Var scale(Var x, float factor);

// A matrix product with the channels of every pixel. Keys: weight, [out, channels of x], and bias unless said
// otherwise. `out` as ConvOptions::out. torch.nn.Linear, which sees a map of one pixel an image.
struct LinearOptions {
  std::int64_t out = 0;
  bool bias = true;
};
Var linear(Module, Var x, const LinearOptions&);

// Keys: codewords, [codewords, channels of x], and scale, [codewords]; of `norm` those of a batch norm with
// as many channels as there are codewords, `published` of them. Zhang et al. 2018; layers/ops/encoding.h.
Var encoding(Module, Module norm, Var x, std::int64_t published, double eps = 1e-5);

// Keys: weight, bias. Where `groups` do not divide the channels, the report says so.
Var group_norm(Module, Var x, std::int64_t groups, double eps = 1e-5);

// Maps of the same size; layers/ops/position_attention.h.
Var position_attention(std::string name, Var query, Var key, Var value);

// Reads the keys of what `build` builds, and takes its layers out of the graph again: modules that the
// publisher's files hold and the network does not run.
void read_unused(Builder&, const std::function<void()>& build);

}  // namespace atrous
