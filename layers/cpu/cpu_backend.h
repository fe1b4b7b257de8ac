// The CPU back end: for every kind of layer an ordered list of implementations, ending in the layer's
// reference. All that accept a layer are made, and share its weights; which of them runs is decided when the
// sizes are known, by what each says it costs. The reference runs where no other accepts, or when forced.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "layers/cpu/isa.h"
#include "layers/graph/graph.h"
#include "layers/graph/kernel.h"
#include "layers/graph/precision.h"

namespace atrous {

struct CpuOptions {
  Isa isa = supported_isas().front();
  std::string force = {};      // an implementation's name: the only one for every layer that it accepts
  int threads = 1;             // for packing weights
  bool device_layers = false;  // of a network to be compared with one on a device: optimise_for_device()
  // Or bf16 or int8: which maps are in bfloat16 then, choose_bf16() decides, and in 8 bits choose_int8().
  Precision precision = Precision::fp32;
};

// Of a node's maps, each f32, bf16 or u8.
struct MapTypes {
  std::vector<MapType> inputs;
  MapType output = {};
  bool operator==(const MapTypes&) const = default;
};

// At least one, in the order of the list. Packs the node's weights; the node is not needed afterwards.
std::vector<std::unique_ptr<Kernel>> make_cpu_kernels(const Node&, const CpuOptions&, const MapTypes&);

// The same for maps of fp32.
std::vector<std::unique_ptr<Kernel>> make_cpu_kernels(const Node&, const CpuOptions&);

// The names of a layer's implementations, in their order: "winograd_6x6", ..., "reference".
std::vector<std::string_view> cpu_implementations(const Layer&);

// All names, each once, for messages and completion.
std::vector<std::string_view> cpu_implementations();

}  // namespace atrous
