// Torch checkpoints (.pth, .pt, .th), without Python and without running what they contain.
//
// Formats: torch/serialization.py, _save and _legacy_save.
// Zip, since torch 1.6: FOLDER/data.pkl, the pickle; FOLDER/data/KEY, one storage each; FOLDER/byteorder,
// "little" or "big", in newer files. A TorchScript archive (torch.jit.save) is the same with FOLDER/code/,
// the program, which is never read, and FOLDER/constants.pkl; its data.pkl holds the model's objects. The
// folder's name is that of the file it was saved to. Legacy, before: five pickles (magic number, protocol
// version 1001, sizes of C types, the object, the list of storage keys), then for each key in that order the
// number of elements in 8 bytes and the elements.
#pragma once

#include <string_view>

#include "weights_tools/io/file.h"
#include "weights_tools/io/network_choice.h"

namespace atrous {

// `asked`: as choose_network() takes it. Errors: those of zip.h, pickle.h and torch_tensors.h; further
// Error(malformed) for not exactly one data.pkl, storages that are missing or of another size than declared,
// and Error(unsupported) for big-endian archives and TorchScript archives without weights in their data.pkl.
NetworkWeights read_pth_zip(const InputFile&, std::string_view asked = {});

// Error(malformed): another magic number, storages that are missing, listed twice or not declared, a count
// unlike the declared one, bytes after the last storage. Error(unsupported): another protocol version,
// big-endian or strange sizes.
NetworkWeights read_pth_legacy(const InputFile&, std::string_view asked = {});

}  // namespace atrous
