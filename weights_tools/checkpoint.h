// A checkpoint of any kind atrous reads, recognised by its content.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "layers/base/public.h"
#include "layers/graph/state_dict.h"
#include "weights_tools/config.h"
#include "weights_tools/metadata.h"

namespace ATROUS_PUBLIC atrous {

enum class Container { pth_zip, pth_legacy, safetensors, safetensors_index, seeded, caffemodel };
// "zip .pth", "legacy .pth", ".safetensors", "sharded .safetensors", "no file", ".caffemodel"
std::string_view name_of(Container);

// What a module around the network subtracts from photos and divides them by, of three channels. The range is
// what it is for: 1 where all means are at most 1, else 255.
struct Normalisation {
  std::array<float, 3> mean, std;
  int range = 1;
};

struct Checkpoint {
  StateDict state;
  std::optional<Metadata> metadata;  // of a .safetensors written by atrous
  Config config;                     // of the config.json beside a file without metadata
  Container container = Container::pth_zip;
  // What was done to get at the tensors: "took the weights under state_dict.net", "left out epoch,
  // optimizer".
  std::vector<std::string> notes;
  std::string choice;     // which of several networks was taken, that mean or std is alone; mostly empty
  std::string arch = {};  // what the file calls its network, under "arch": "FCN8sAtOnce"; mostly empty
  // Of both buffers mean and std beside the network in a Lightning module; of one, `choice` says so.
  std::optional<Normalisation> normalisation = {};
};

struct LoadOptions {
  // The prefix of the network to take, of keys joined by dots: model_ema, state_dict.net; "." for the one
  // whose keys have no prefix. Empty: decided as choose_network() does (network_choice.h).
  std::string weights = {};
  // Whether convolutions' weights in fp32 stay in a .safetensors file, to be read as they are packed:
  // StateTensor::stored. Of bytes in memory: these must live as long.
  bool keep_stored = false;
};

// Of a folder the checkpoint in it: model.safetensors, else the only *.safetensors.index.json, else the only
// *.safetensors, else pytorch_model.bin. Any other path is returned as it is. Error(io) for a folder without
// any of these, Error(unsupported) for one with several, of which two are named.
std::string checkpoint_file(const std::string& path);

// Reads a checkpoint: a .pth, a .safetensors, the *.safetensors.index.json of one in several files, or a
// .caffemodel; the extension does not matter. A folder stands for its checkpoint_file(). The network is
// looked for under any prefix and wrapper; where none is found that atrous knows, a prefix `module.`
// (DataParallel), `_orig_mod.` (torch.compile) or `model.` (Lightning) is taken off when all keys have it.
// Errors begin with the path: those of pth.h, safetensors.h, caffemodel.h and metadata.h; Error(unsupported)
// names what else the file is (a web page, an image, ...), and buffers mean and std of another shape than [1,
// 3, 1, 1]; Error(malformed) for a checkpoint without tensors and for a std that divides by nothing. Those of
// safetensors_index.h and config.h.
Checkpoint load_checkpoint(const std::string& path, const LoadOptions& = {});

// The same of bytes in memory; `name` stands for the path. The tensors are copies.
Checkpoint load_checkpoint(std::span<const std::byte> bytes, const std::string& name,
                           const LoadOptions& = {});

}  // namespace atrous
