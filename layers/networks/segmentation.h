// The segmentation networks themselves: a checkpoint in, a graph out.
#pragma once

#include <string>

#include "layers/graph/graph.h"
#include "layers/graph/state_dict.h"

namespace atrous {

struct NetworkOptions {
  bool aux = false;  // build the auxiliary head as well; the graph then has the output "aux" beside "out"
};

struct Network {
  Graph graph;               // input: normalised RGB, [n, h, w, 3]; outputs: logits at 1 / output_stride
  std::string architecture;  // "deeplabv3_resnet101"
  std::int64_t classes = 0;
  std::int64_t output_stride = 8;
  bool has_aux = false;  // whether the checkpoint carries an auxiliary head
};

// Recognises FCN and DeepLabV3 on a ResNet of any depth and width or on a MobileNetV3 of any width, and
// LR-ASPP on the latter, from the names and shapes, as torchvision's models/segmentation/fcn.py, deeplabv3.py
// and lraspp.py define them, and builds the graph. aux_classifier.* is checked where it is asked for and
// ignored otherwise.
//
// Error(unsupported): a network that atrous does not know (named where it can be guessed), or options.aux
// without one. Error(mismatch): every missing, unexpected, misshaped or unusable key, the first twenty by
// name.
Network build_network(const StateDict&, const NetworkOptions& = {});

}  // namespace atrous
