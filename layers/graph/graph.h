// A network as data: nodes (layers) in the order they run, joined by values (tensors to be).
//
// The graph is free of sizes: it knows channels, kernels and strides, and infer_shapes fills in the rest for
// a given input. So one loaded network serves every height, width and batch.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "layers/graph/state_dict.h"
#include "layers/ops/activation.h"
#include "layers/ops/adaptive_avg_pool2d.h"
#include "layers/ops/arithmetic.h"
#include "layers/ops/batch_norm.h"
#include "layers/ops/concat.h"
#include "layers/ops/conv2d.h"
#include "layers/ops/conv_transpose2d.h"
#include "layers/ops/crop.h"
#include "layers/ops/doubled_conv2d.h"
#include "layers/ops/encoding.h"
#include "layers/ops/expand_depthwise.h"
#include "layers/ops/gated_conv2d.h"
#include "layers/ops/group_norm.h"
#include "layers/ops/l2_norm.h"
#include "layers/ops/max_pool2d.h"
#include "layers/ops/max_unpool2d.h"
#include "layers/ops/position_attention.h"
#include "layers/ops/resize.h"
#include "layers/ops/softmax.h"

namespace atrous {

class Kernel;  // kernel.h

using Layer =
    std::variant<Conv2d, ConvTranspose2d, BatchNorm, Activation, MaxPool2d, AdaptiveAvgPool2d, Resize, Crop,
                 Concat, Add, Mul, Max, Scale, Softmax, Encoding, GroupNorm, PositionAttention, MaxUnpool2d,
                 L2Norm, ExpandDepthwise, GatedConv2d, DoubledConv2d>;
std::string_view name_of(const Layer&);  // "conv2d", "max_pool2d", ...

using ValueId = int;

struct Value {
  std::int64_t channels = 0;
  DType dtype = DType::f32;        // of the activations: f32, bf16 or u8
  Quantisation quantisation = {};  // of u8; of f32 as what quantised layers read it
  std::string name = {};           // of the node that made it when the network was built; empty for the input
  std::optional<ValueRange> range = {};  // that the checkpoint was calibrated for

  MapType type() const { return {dtype, quantisation}; }
};

struct Node {
  std::string name;  // the torch module's: "backbone.layer1.0.conv1"
  Layer layer;
  std::vector<ValueId> inputs;
  ValueId output = -1;
  // Of a compiled graph (runtime/engine/program.h): at least one, sharing the layer's weights. Nodes that run
  // one layer several times share their kernels.
  std::vector<std::shared_ptr<const Kernel>> kernels = {};
};

struct Graph {
  std::vector<Value> values;
  std::vector<Node> nodes;  // every node after those whose outputs it reads
  ValueId input = -1;
  std::vector<std::pair<std::string, ValueId>> outputs;  // by torchvision's names: "out", "aux"
};

// How many nodes read each value; a graph output counts as one more reader.
std::vector<int> count_readers(const Graph&);

// The shape of the layer's output. Error(invalid_argument) when the inputs do not fit the layer.
Shape output_shape(const Layer&, std::span<const Shape> inputs);

// The shapes of all values for one input, indexed by ValueId. Values that no node produces any more stay
// empty. Errors are prefixed with the node's name.
std::vector<Shape> infer_shapes(const Graph&, const Shape& input);

// Multiply-accumulates of the direct algorithm; 0 for layers that do not multiply by weights.
std::int64_t macs(const Node&, std::span<const Shape> shapes);

// Runs the layer's readable reference.
void run_reference(const Layer&, std::span<const ConstView> inputs, View out);

// Of its weights; 0 for layers without.
std::size_t weight_bytes(const Layer&);

// Lets the layer's weights go, once they are packed. The layer still knows its shapes.
void release_weights(Layer&);

}  // namespace atrous
