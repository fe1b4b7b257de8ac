// What the layers of a network are at one input size: as the network was written down, and what the passes
// (runtime/engine/passes.h) made of each.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "layers/graph/graph.h"
#include "runtime/engine/plan.h"

namespace atrous {

// Along one side of the map: how many input pixels one value depends on at most, and how many the next value
// is further on. A kernel of k taps, `dilation` apart, makes field + (k - 1) * dilation * jump of it, a
// stride s jump * s (Araujo, Norris & Sim 2019, "Computing Receptive Fields of Convolutional Neural
// Networks"). Value i depends on the pixels from centre + i * jump - field / 2 to centre + i * jump + field /
// 2, where pixel p reaches from p to p + 1; some of them may be padding.
struct ReceptiveField {
  double field = 1, jump = 1;
  bool all = false;     // the whole side, as behind a mean over the map
  double centre = 0.5;  // of value 0's field
};

struct LayerFacts {
  const Node* node = nullptr;
  Shape output;
  std::int64_t macs = 0;         // multiply-accumulates of the direct algorithm
  ReceptiveField height, width;  // in pixels of the graph's input
  double taps_inside =
      1;  // of a convolution: the share of its taps that read the map, the others read padding
  const Node* runs_in =
      nullptr;  // the program's node that computes it; null where nothing of it is left to do
  std::string_view kernel = {};  // of that node; "in place" where its inputs lie in its output already
};

// By node of `built`, of which the program was made. `input` is the plan's. The views are of the graph, the
// program and the plan.
std::vector<LayerFacts> layer_facts(const Graph& built, const Program&, const Plan&, const Shape& input);

// "7x7 kernel, 3 -> 64 channels, stride 2, padding 3, no bias": what the layer's struct says; empty where
// that is nothing.
std::string parameters_in_words(const Layer&);

// The header that defines the layer, "layers/ops/conv2d.h", a line's end, and the comment that it begins
// with, without slashes.
std::string text_of(const Layer&);

}  // namespace atrous
