// What every layer is: a struct that says its own name, its output's shape and what it computes.
//
//   struct Example {
//     static constexpr std::string_view name = "example";     for messages and profiles
//     Shape output_shape(Shapes in) const;                    Error(invalid_argument) where they do not fit
//     void run_reference(Views in, View out) const;           its definition, in plain loops
//
//     std::int64_t macs(Shapes in) const;                     with weights: multiply-accumulates, and
//     template <class Visit> void each_weight(Visit&&);       visit(data, elements) of each block of them
//   };
//
// The graph, the program, the reference kernel and the passes ask the layer. So a new one is a pair of files
// here, one word in the variant Layer (layers/graph/graph.h), its word in the builder, and kernels.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "layers/base/public.h"
#include "layers/base/tensor.h"

namespace ATROUS_PUBLIC atrous {

using Shapes = std::span<const Shape>;
using Views = std::span<const ConstView>;

// Weights as layers keep them: shared with a state dict, and let go once they are packed.
using Weights = std::shared_ptr<const float>;

template <class L>
concept IsLayer = requires(const L& layer, Shapes shapes, Views in, View out) {
  { L::name } -> std::convertible_to<std::string_view>;
  { layer.output_shape(shapes) } -> std::same_as<Shape>;
  layer.run_reference(in, out);
};

template <class L>
concept HasWeights = IsLayer<L> && requires(L& layer, Shapes shapes) {
  { layer.macs(shapes) } -> std::same_as<std::int64_t>;
  layer.each_weight([](auto&, std::int64_t) {});
};

}  // namespace atrous
