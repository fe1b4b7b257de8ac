// The segmentation networks themselves: a checkpoint in, a graph out. Which there are: networks/family.h.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "layers/graph/state_dict.h"
#include "layers/networks/family.h"

namespace atrous {

struct NetworkOptions {
  bool aux = false;  // build the auxiliary head as well; the graph then has the output "aux" beside "out"
  Hyper hyper = {};  // in place of what the family assumes
  // Which of several variants with the same keys is meant where hyper does not say: a variant's name, or a
  // file's, in which the words count that tell the variants apart: os8 in "best_deeplabv3plus_os8.pth".
  std::string named = {};
  std::string arch = {};  // what the file says under "arch", which decides before a file's name
};

// The family whose telling keys are all there; the one with most of them where there are several.
struct Recognised {
  const Family* family;
  std::string variant;                 // "deeplabv3_resnet50"
  std::vector<std::string> same_keys;  // other variants that the weights may be meant for
};

// Error(unsupported) where there is none, which says what the checkpoint looks like.
Recognised recognise_network(const StateDict&);

// What a config.json beside the weights (weights_tools/config.h) says of the hyper of the family that they
// are recognised as; empty where it says nothing, and of no network. Error(invalid_argument) as Hyper.
Hyper hyper_of(const StateDict&, const std::map<std::string, std::string, std::less<>>& config);

// Whether recognise_network() would know it.
bool is_known_network(const StateDict&);

// The prefixes P, empty or ending in a dot, under which the names hold the telling keys of a family: P + one
// of its stems and P + its head. Each once, in the order of the names.
std::vector<std::string> network_prefixes(std::span<const std::string_view> names);

// Recognises the network by its names and builds the graph. Auxiliary heads are checked where they are asked
// for and ignored otherwise.
//
// Error(unsupported): a network that atrous does not know, or options.aux without an auxiliary head.
// Error(mismatch): an auxiliary head of other channels; missing, unexpected, misshaped or unusable keys
// (weights of an integer type among them), the first twenty by name. Error(invalid_argument): a hyper that is
// none of the network's.
Network build_network(const StateDict&, const NetworkOptions& = {});

// The network by name, with the published shapes: no weights, but every key that they have, in `keys`.
// Error(invalid_argument) for a name that no family has.
struct PublishedNetwork {
  Network network;
  StateDict keys;                                                // dtypes and shapes; data is null
  std::map<std::string, std::string, std::less<>> same_as = {};  // as PublishedShapes
};
PublishedNetwork published_network(std::string_view variant, PublishedShapes = {}, bool aux = true);
PublishedNetwork published_network(const Family&, std::string_view variant, PublishedShapes = {},
                                   bool aux = true);

}  // namespace atrous
