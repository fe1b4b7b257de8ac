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
#include "weights_tools/torch/pickle.h"

namespace atrous {

// A root storage as the pickle declares it.
struct StorageDeclaration {
  DType dtype = DType::f32;
  std::uint64_t elements = 0;

  std::uint64_t bytes() const;  // Error(limit) on overflow
};

// All storages the pickle mentions, by key. Error(unsupported) for a dtype outside DType, Error(malformed)
// for an id that is not as above, a view outside its root, and a key declared with two sizes.
std::unordered_map<std::string, StorageDeclaration> storage_declarations(const Pickle&);

// Gives the bytes of the storage with a key; called at most once for each key.
using ReadStorage = std::function<Buffer(const std::string& key, std::uint64_t bytes)>;

// The dict of tensors inside the pickle. Dicts that training scripts put around it, under the keys "model",
// "state_dict" or "model_state_dict", are opened, and said so in `notes`. Only storages of tensors in that
// dict are read. Contiguous tensors share the memory of their storage, others are copied into row-major
// order: at most `file_size` bytes for one tensor and four times that for all, so that strides of 0 cannot
// make much of little. Error(malformed), with the key: an entry that is not a tensor, sizes, offsets or
// strides that are negative or leave the storage. Error(limit): more than 8 dimensions, overflow.
StateDict state_dict_from_pickle(const Pickle&, const ReadStorage&, std::uint64_t file_size,
                                 std::vector<std::string>& notes);

}  // namespace atrous
