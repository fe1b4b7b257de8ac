// Writing a network down the way torch does: functions of a module's weights and of the value that flows
// through.
//
//   Var bottleneck(Module m, Var x, ...) {
//     Var out = relu(batch_norm(m["bn1"], conv2d(m["conv1"], x)));
//
// A Module is a place in the state dict: m["conv1"] of the module "backbone.layer1.0" reads
// "backbone.layer1.0.conv1.weight". A Var is a value of the graph that is being built.
//
// Nothing here throws over a key: what is missing or misshaped is collected in the KeyReport, building goes
// on with a placeholder, and the caller reports all of it at once.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "layers/graph/graph.h"
#include "layers/graph/key_list.h"

namespace atrous {

// Disagreements between a state dict and the network, one sentence each.
struct KeyReport {
  KeyList missing, misshaped, unusable;
  std::vector<bool> read;  // by the state dict's entries: those that the network knows
};

struct Builder {
  explicit Builder(const StateDict& dict) : state(dict) { report.read.resize(dict.size()); }

  const StateDict& state;
  Graph graph;
  KeyReport report;
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

  const std::string& path() const { return path_; }
  Builder& builder() const { return *builder_; }

  // Whether the state dict has any key under `name`.
  bool has(std::string_view name) const;

  // The size of tensor path.name along a dimension, or `otherwise` where there is no such tensor or
  // dimension.
  std::int64_t size(std::string_view name, std::size_t dimension, std::int64_t otherwise) const;

  // The tensor path.name, whose shape must equal `expected`, where -1 stands for any size. Floats, all
  // finite, no integers for a convolution. What is wrong goes to the report: data null, shape with 0 for -1.
  struct Parameter {
    std::vector<std::int64_t> shape;
    std::shared_ptr<const float> data;
  };
  Parameter parameter(std::string_view name, const std::vector<std::int64_t>& expected) const;

  // Marks path.name as known, though its values are not used (num_batches_tracked).
  void ignore(std::string_view name) const;

 private:
  Builder* builder_;
  std::string path_;
};

// The padding that keeps a map's size at stride 1, dilation * (kernel - 1) / 2: what these networks use
// throughout.
constexpr std::int64_t same_padding = -1;

struct ConvOptions {
  std::int64_t kernel = 1;  // of a square kernel
  std::int64_t stride = 1, padding = same_padding, dilation = 1;
  bool bias = false;
  bool grouped = false;    // groups = channels of x / weight.shape[1]; otherwise these must be equal
  bool depthwise = false;  // groups = channels of x = channels out
};

// Keys: weight, and bias where the module has one. The number of output channels is read from the weight's
// shape.
Var conv2d(Module, Var x, const ConvOptions& = {});

// Keys: weight, bias, running_mean, running_var; num_batches_tracked is ignored. A negative variance is
// reported.
Var batch_norm(Module, Var x, double eps = 1e-5);

Var activation(Var x, ActivationKind);
Var relu(Var x);
Var max_pool2d(std::string name, Var x, const MaxPool2d&);
Var adaptive_avg_pool2d(std::string name, Var x, const AdaptiveAvgPool2d&);
Var resize_like(std::string name, Var x, Var size_of, const Resize&);
Var concat(std::string name, const std::vector<Var>&);
Var add(Var a, Var b);
Var mul(Var a, Var gate);

}  // namespace atrous
