// Which layers of a network can compute in 8 bits, and what they are called in its checkpoint.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "layers/graph/graph.h"
#include "layers/graph/state_dict.h"

namespace atrous {

// A layer that multiplies by weights.
struct WeightedLayer {
  std::string name;               // "backbone.layer1.0.conv1"
  std::string kind;               // "3x3", "depthwise", "grouped", "linear", "transposed"
  std::vector<std::string> keys;  // of its weights in the state dict; several that share their memory
  std::string in_fp32;            // why it stays in fp32, in words; empty where it can be quantised
  const Conv2d* conv = nullptr;   // in the graph; null for a transposed convolution
  ValueId input = -1;
  std::string input_name;  // Value::name
};

// In the order of the graph, which is as it was built, before any pass; layers that run several times once.
// Quantised can be convolutions with a multiple of 4 channels a group, and depthwise ones; but not the
// network's first, those that make the scores of classes, those of single pixels, whose work is nothing, and
// those that may hardly round (Rounding::precise).
std::vector<WeightedLayer> weighted_layers(const Graph&, const StateDict&);

// By value: whether it holds scores of classes: the graph's outputs, and what becomes those by other layers
// than convolutions.
std::vector<bool> holds_scores(const Graph&);

// The tensors of four dimensions as fp32, the others as they are.
StateDict with_float_convolutions(const StateDict&);

}  // namespace atrous
