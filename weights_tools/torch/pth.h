// Torch checkpoints (.pth, .pt, .th), without Python and without running what they contain.
//
// Formats: torch/serialization.py, _save and _legacy_save.
// Zip, since torch 1.6: FOLDER/data.pkl, the pickle; FOLDER/data/KEY, one storage each; FOLDER/byteorder,
// "little" or "big", in newer files. The folder's name is that of the file it was saved to. Legacy, before:
// five pickles (magic number, protocol version 1001, sizes of C types, the object, the list of storage keys),
// then for each key in that order the number of elements in 8 bytes and the elements.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "layers/graph/state_dict.h"
#include "weights_tools/io/file.h"

namespace atrous {

struct PthCheckpoint {
  StateDict state;
  std::vector<std::string> notes;  // what was unwrapped
};

// Errors: those of zip.h, pickle.h and torch_tensors.h; further Error(malformed) for not exactly one
// data.pkl, storages that are missing or of another size than declared, and Error(unsupported) for
// TorchScript and big-endian archives.
PthCheckpoint read_pth_zip(const InputFile&);

// Error(malformed): another magic number, storages that are missing, listed twice or not declared, a count
// unlike the declared one, bytes after the last storage. Error(unsupported): another protocol version,
// big-endian or strange sizes.
PthCheckpoint read_pth_legacy(const InputFile&);

}  // namespace atrous
