// The ways in which a back end runs a kind of layer, as a list, and the choice among them by name.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "layers/graph/graph.h"
#include "layers/graph/kernel.h"

namespace atrous {

// Given: what the back end makes its kernels of, such as the layer and its options.
template <class... Given>
struct Implementation {
  std::string_view name;
  std::unique_ptr<Kernel> (*make)(Given...);  // null when it does not accept the layer
  bool exclusive = false;                     // where it accepts it always wins, and no others are made
  Rounding rounding = Rounding::precise;      // the closest that convolutions may ask for
  bool fallback = false;                      // only made where no other accepts, or when forced
};

// The kernels of a layer, in the list's order. Of the name `force` alone, where one of that name accepts the
// layer, whatever rounding the layer asks for. Otherwise of all that accept the layer and round closely
// enough for it, up to an exclusive one that accepts first. Where there are none, of the fallback. Empty
// where nothing accepts.
template <class... Given>
std::vector<std::unique_ptr<Kernel>> make_listed_kernels(const Layer& layer,
                                                         std::span<const Implementation<Given...>> list,
                                                         std::string_view force,
                                                         std::type_identity_t<Given>... given) {
  std::vector<std::unique_ptr<Kernel>> kernels;
  const auto make = [&](const Implementation<Given...>& i) {
    if (auto kernel = i.make(given...)) kernels.push_back(std::move(kernel));
  };
  if (!force.empty())
    for (const Implementation<Given...>& i : list)
      if (i.name == force) make(i);
  if (!kernels.empty()) return kernels;
  const Conv2d* conv = std::get_if<Conv2d>(&layer);
  for (const Implementation<Given...>& i : list)
    if (!i.fallback && (!conv || i.rounding >= conv->rounding)) {
      make(i);
      if (i.exclusive && !kernels.empty()) break;
    }
  if (!kernels.empty()) return kernels;
  for (const Implementation<Given...>& i : list)
    if (i.fallback) make(i);
  return kernels;
}

}  // namespace atrous
