// A checkpoint in several .safetensors files, shards, as Hugging Face's libraries save large ones. Beside the
// shards lies an index, NAME.safetensors.index.json:
//
//   {"metadata": {"total_size": 123, ...},
//    "weight_map": {"backbone.conv1.weight": "model-00001-of-00002.safetensors", ...}}
//
// Format: https://huggingface.co/docs/safetensors and huggingface_hub's serialization/_base.py.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "layers/graph/state_dict.h"
#include "weights_tools/io/file.h"

namespace atrous {

constexpr std::uint64_t safetensors_index_limit = std::uint64_t{16} << 20;
constexpr std::size_t safetensors_shard_limit = 1024;

// The weight map in the order of the file: a tensor's key and its shard's name. Error(malformed): not UTF-8
// JSON of the form above, a key twice, a shard's name that is more than the plain name of a .safetensors file
// (a folder, "..", control characters). Error(limit): more shards than the limit.
std::vector<std::pair<std::string, std::string>> parse_safetensors_index(std::string_view json);

// Opens the shard of a name; null where there is none.
using OpenShard = std::function<std::unique_ptr<InputFile>(const std::string& name)>;

// The tensors of all shards. `total_size` is not looked at. Errors of parse_safetensors_index(), and of
// read_safetensors() after the shard's name; Error(io): shards that are missing, 20 of them named;
// Error(malformed): a key that its shard does not hold, one that a shard holds though the index gives it
// another place or none. Error(limit): an index over 16 MiB.
StateDict read_safetensors_shards(const InputFile& index, const OpenShard&);

// Opens the shards beside the file of that path, and nowhere else.
OpenShard shards_beside(const std::string& index_path);

}  // namespace atrous
