// Where what is kept between runs lies, as the environment says. Only what takes models by name asks (the
// command line, the interface for C); the rest of the library gets paths.
#pragma once

#include <optional>
#include <string>

namespace atrous {

// Our own: $ATROUS_CACHE, else $XDG_CACHE_HOME/atrous, else ~/.cache/atrous. Empty variables count as unset,
// and so does an XDG_CACHE_HOME that is not absolute, as its specification has it. Error(io) when none of
// them nor HOME is set.
std::string cache_folder();

// torch.hub's: $TORCH_HOME/hub/checkpoints, else $XDG_CACHE_HOME/torch/hub/checkpoints, else
// ~/.cache/torch/hub/checkpoints. Nothing when HOME is needed and not set.
std::optional<std::string> torch_hub_folder();

}  // namespace atrous
