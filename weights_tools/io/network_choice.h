// Which of the tensors in a file are the network's: training scripts put a state dict under names of their
// own (model, net, ema.module), and loss functions, optimizers and further networks beside it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "layers/graph/state_dict.h"

namespace atrous {

struct NetworkChoice {
  std::string prefix;    // of the tensors' names: empty, or ending in a dot
  std::string sentence;  // of a file that holds several networks: which one was taken; empty for one
};

// The network among the names in a file, keys of dictionaries in each other joined by dots. `asked`: the
// prefix that somebody wants, such as model_ema; "." for the names that have none, empty to decide here. Of
// model and model_ema, state_dict and state_dict_ema the former is taken; Error(unsupported) lists what else
// is ambiguous, Error(invalid_argument) the networks there are where none has the prefix asked for. Nothing,
// where nothing was asked for and the names are those of no network that atrous knows.
std::optional<NetworkChoice> choose_network(std::span<const std::string_view> names, std::string_view asked);

// "epoch, optimizer": what the names that were left out are called, as far as that tells them from `prefix`;
// 20 of them, and how many more there are. Empty for none.
std::string list_left_out(std::span<const std::string_view> names, std::string_view prefix);

struct NetworkWeights {
  StateDict state;                 // with names as the network has them
  std::vector<std::string> notes;  // what was taken and what was left out
  std::string choice;              // NetworkChoice::sentence
  std::string arch = {};  // the text that a training script keeps under "arch", a class's name; or empty
  // The tensors "mean" and "std" of the module that holds the network: the buffers by which Lightning modules
  // after segmentation_models.pytorch's example normalise (mean, std, model.encoder.conv1.weight, ...).
  StateDict beside = {};
};

// "mean" or "std" for the name of such a tensor, empty for all others.
std::string_view name_beside(std::string_view name, std::string_view prefix);

// The network of a file whose names are all in one list. Without one that atrous knows all tensors are taken.
NetworkWeights take_network(const StateDict&, std::string_view asked);

// The notes of a choice: what was taken, and what was left out.
void add_notes(const NetworkChoice&, std::span<const std::string_view> left_out, NetworkWeights&);

}  // namespace atrous
