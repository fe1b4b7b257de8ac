// What the layers of a network compute: any value of its graph, the strength of its channels, the branches of
// an ASPP, and which parts of a picture a value depends on.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "layers/base/tensor.h"
#include "layers/graph/graph.h"
#include "layers/networks/preparation.h"
#include "runtime/engine/session.h"
#include "runtime/image/image.h"

namespace atrous {

// The layers that these values of the graph need, the values as its outputs "0", "1", ... in their order.
// Passes (runtime/engine/passes.h) keep what a graph's outputs are, so the program that compile() makes of
// the part gives the values as the network was written down, whatever becomes of them in the whole network.
Graph part_of(const Graph&, std::span<const ValueId>);
std::string part_output(std::size_t);  // "0", "1", ...

// Of one channel over a map.
struct ChannelFacts {
  std::int64_t channel = 0;
  float least = 0, largest = 0;
  double mean = 0, variance = 0;  // of the map's values: their mean square distance from the mean

  // What the map is drawn in: 1 stands for it, and for its negative -1.
  float magnitude() const { return largest > -least ? largest : -least; }
};

// By channel, of a map of one image. Error(not_finite), with `name`, for values that are not finite.
std::vector<ChannelFacts> channel_facts(ConstView map, const std::string& name);

// The most telling `count` of them, the largest variance first, or mean, the lower number first among equals.
std::vector<ChannelFacts> strongest(std::vector<ChannelFacts>, std::size_t count,
                                    double ChannelFacts::*by = &ChannelFacts::variance);

// Atrous spatial pyramid pooling: convolutions of different dilation side by side on one value.
struct AsppBranch {
  const Node* last = nullptr;  // of the branch's layers, before the branches meet
  const Node* conv = nullptr;  // the first whose kernel is larger than 1x1; null where there is none
  bool pools = false;          // whether the branch takes means of the map

  std::int64_t dilation() const { return conv ? std::get<Conv2d>(conv->layer).dilation : 1; }
};

// The branches of the first value that convolutions of several dilations above 1 read, each followed as far
// as one layer reads the one before and nothing else. Empty where there is no such value. Found by structure:
// no name of a network counts.
std::vector<AsppBranch> aspp_branches(const Graph&);

// The channels whose variance is largest over the branches together, each branch's counted as a share of all
// of its channels'. Channels beyond those that every branch has are left out.
std::vector<std::int64_t> strongest_together(std::span<const std::vector<ChannelFacts>>, std::size_t count);

// A rectangle of pixels, the last column and row not in it.
struct PixelBox {
  int left = 0, top = 0, right = 0, bottom = 0;
};

// What a picture's parts do to one value, measured by covering them in grey one after the other (Zeiler &
// Fergus 2014, "Visualizing and Understanding Convolutional Networks", section 4.2).
struct Occlusion {
  int side = 1;              // of a square cell in pixels; the last of a row or column may be narrower
  int across = 1, down = 1;  // cells
  std::vector<double>
      change;  // by cell, row by row: |v - v'| / |v| of the value's vector; |v - v'| where v is 0
};

struct OcclusionOptions {
  std::int64_t y = 0, x = 0;  // of the value in the session's output "0"
  int cells = 16;             // along the picture's longer side; 1 to its pixels
  PixelBox seen = {};         // cells that nothing of lies in it are not covered: their change is 0
  // Called before each run but the first, with how many of how many are done and the seconds of the first.
  std::function<void(int done, int all, double seconds)> progress = {};
};

// Runs the session's program once for the picture and once for each cell. Error(invalid_argument) for a place
// outside the map and for cells outside their range.
Occlusion occlude(Session&, const Image& picture, const Preparation&, const OcclusionOptions&);

}  // namespace atrous
