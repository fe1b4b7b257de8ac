// From a torch checkpoint's pickle to tensors.
//
// Format: torch/_utils.py and torch/serialization.py. A tensor is pickled as a call
//   _rebuild_tensor_v2(storage, storage_offset, size, stride, requires_grad, backward_hooks)
// (_rebuild_tensor: the first four; _rebuild_parameter(tensor, requires_grad, hooks) around it), with offset
// and strides in elements. A storage is a persistent id
//   ("storage", torch.FloatStorage, key, location, number of elements [, view])
// where view is None or (view key, offset, elements), and whose bytes the container keeps under `key`.
// Strides need not be row-major (channels-last) and storages may be shared.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "layers/base/tensor.h"
#include "layers/graph/state_dict.h"
#include "weights_tools/io/network_choice.h"
#include "weights_tools/torch/pickle.h"

namespace atrous {

// A root storage as the pickle declares it.
struct StorageDeclaration {
  std::string type;  // "FloatStorage"
  std::uint64_t elements = 0;

  // Error(limit) on overflow, Error(unsupported) for a type whose elements are of unknown size. Types that no
  // weight may have, complex and quantised numbers, are known.
  std::uint64_t bytes() const;
};

// All storages the pickle mentions, by key. Error(malformed) for an id that is not as above, a view outside
// its root, and a key declared with two sizes. The id of a class, which torch 1 writes where a whole model is
// saved, is none.
std::unordered_map<std::string, StorageDeclaration> storage_declarations(const Pickle&);

// Gives the bytes of the storage with a key; called at most once for each key.
using ReadStorage = std::function<Buffer(const std::string& key, std::uint64_t bytes)>;

// The network inside the pickle, wherever it stands (choose_network(), of the names that pickle_names.h
// gives): in a dict, in dicts within dicts or in the pickled model itself. What else the pickle holds is left
// out, and said so in the notes. Without a network that atrous knows: the tensors of the dict that training
// scripts put under the keys "model", "state_dict" or "model_state_dict", which are opened, or of the whole
// pickle where that dict has none itself.
//
// Only storages of these tensors are read. Contiguous tensors share the memory of their storage, others are
// copied into row-major order: at most `file_size` bytes for one tensor and four times that for all, so that
// strides of 0 cannot make much of little. Error(malformed), with the key: an entry in a weight's place that
// is not a tensor, sizes, offsets or strides that are negative or leave the storage. Error(unsupported): a
// dtype outside DType. Error(limit): more than 8 dimensions, overflow. Those of choose_network().
NetworkWeights network_from_pickle(const Pickle&, const ReadStorage&, std::uint64_t file_size,
                                   std::string_view asked);

}  // namespace atrous
