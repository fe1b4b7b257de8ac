// What stands for a model on the command line, wherever one is asked for:
//
//   default            the network compiled into the program
//   deeplabv3_resnet101 and others that atrous fetch --list knows: the published checkpoint, downloaded once
//   seeded:NETWORK     random weights of a network that atrous networks lists
//   anything else      the path of a .pth or .safetensors file, or of a folder with one
//
// A file that is called like a model is meant by its path, ./default.
#pragma once

#include <string>
#include <vector>

#include "runtime/segment/model.h"
#include "weights_tools/checkpoint.h"

namespace atrous::cli {

// The first two kinds, for completion and suggestions.
std::vector<std::string> model_names();

// Error(io) with a suggestion for a path that does not exist; Error(unsupported) for a name that this program
// was built without. Downloads where needed, with progress on stderr.
Model open_model(const std::string& name, const ModelOptions&);
Checkpoint open_checkpoint(const std::string& name, const std::string& weights);
// Says on stderr which of several networks in its file a model is.
void notify_choice(const std::string& name, const Model&);
std::string sha256_of_model(const std::string& name);  // empty for seeded weights, which are in no file

}  // namespace atrous::cli
