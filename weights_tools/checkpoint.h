// A checkpoint of any kind atrous reads, recognised by its content.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "layers/graph/state_dict.h"
#include "weights_tools/metadata.h"

namespace atrous {

enum class Container { pth_zip, pth_legacy, safetensors };
std::string_view name_of(Container);  // "zip .pth", "legacy .pth", ".safetensors"

struct Checkpoint {
  StateDict state;
  std::optional<Metadata> metadata;  // of a .safetensors written by atrous
  Container container = Container::pth_zip;
  // What was done to get at the tensors: "unwrapped state_dict", "stripped the prefix module.".
  std::vector<std::string> notes;
};

// Reads a checkpoint; the extension does not matter. A prefix `module.` (DataParallel), `_orig_mod.`
// (torch.compile) or `model.` (Lightning) is taken off when all keys have it. Errors begin with the path:
// those of pth.h, safetensors.h and metadata.h; Error(unsupported) names what else the file is (a web page,
// an image, ...); Error(malformed) for a checkpoint without tensors.
Checkpoint load_checkpoint(const std::string& path);

// The same of bytes in memory; `name` stands for the path. The tensors are copies.
Checkpoint load_checkpoint(std::span<const std::byte> bytes, const std::string& name);

}  // namespace atrous
