// The segmentation networks themselves: a checkpoint in, a graph out.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "layers/graph/graph.h"
#include "layers/graph/state_dict.h"

namespace atrous {

struct NetworkOptions {
  bool aux = false;  // build the auxiliary head as well; the graph then has the output "aux" beside "out"
};

struct Network {
  Graph graph;               // input: normalised RGB, [n, h, w, 3]; outputs: logits at 1 / output_stride
  std::string architecture;  // "deeplabv3_resnet101"
  std::int64_t classes =
      0;  // channels of the logits; one may stand for two classes (runtime/segment/model.h)
  // What the keys do not tell, as torchvision has it: the same weights fit networks with other strides and
  // rates.
  std::int64_t output_stride = 8;
  std::int64_t backbone_stride = 8;      // of the map that the head sees
  std::vector<std::int64_t> aspp_rates;  // of DeepLabV3, empty for others
  bool has_aux = false;                  // whether the checkpoint carries an auxiliary head
};

// Recognises FCN and DeepLabV3 on a ResNet of any depth and width or on a MobileNetV3 of any width, and
// LR-ASPP on the latter, from the names and shapes, as torchvision's models/segmentation/fcn.py, deeplabv3.py
// and lraspp.py define them, and builds the graph. aux_classifier.* is checked where it is asked for and
// ignored otherwise.
//
// Error(unsupported): a network that atrous does not know (named where it can be guessed), or options.aux
// without one. Error(mismatch): an auxiliary head of other channels; missing, unexpected, misshaped or
// unusable keys (weights of an integer type among them), the first twenty by name.
Network build_network(const StateDict&, const NetworkOptions& = {});

// The prefixes P, empty or ending in a dot, under which the names hold the telling keys of a network that
// build_network knows: P + backbone.conv1.weight or P + backbone.0.0.weight, and P + classifier.*. Each once,
// in the order of the names.
std::vector<std::string> network_prefixes(std::span<const std::string_view> names);

}  // namespace atrous
