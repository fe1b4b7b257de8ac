// The .safetensors format: https://huggingface.co/docs/safetensors and its README's "Format".
//
//   8 bytes        n, the length of the header, little-endian
//   n bytes        the header, JSON, padded with spaces:
//                  {"NAME": {"dtype": "F32", "shape": [21, 256, 1, 1], "data_offsets": [begin, end]}, ...,
//                  "__metadata__": {"key": "value", ...}}
//   the rest       the tensors, row-major and little-endian; offsets count from here; no gaps, no overlaps
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "layers/base/public.h"
#include "layers/graph/state_dict.h"
#include "weights_tools/io/file.h"

namespace ATROUS_PUBLIC atrous {

struct Safetensors {
  StateDict state;  // in the order of the header
  std::map<std::string, std::string> metadata;
};

constexpr std::uint64_t safetensors_header_limit = 100'000'000;

// Error(malformed): a header beyond the file, not UTF-8 JSON of the form above, with duplicate keys or
// numbers that are not non-negative integers; sizes unlike shape and dtype; holes, overlaps, bytes after the
// last tensor. Error(unsupported): a dtype outside DType. Error(limit): a header over 100 MB, more than 8
// dimensions, overflow. With `kept`, which is the file too, weights of convolutions in fp32 (four dimensions)
// stay in it: StateTensor::stored.
Safetensors read_safetensors(const InputFile&, const std::shared_ptr<const InputFile>& kept = nullptr);

// Tensors are written from the largest element size to the smallest, otherwise in the order of the state
// dict, so that all are aligned. Error(invalid_argument) for a key named `__metadata__` or text that is not
// UTF-8.
void write_safetensors(const std::string& path, const StateDict&,
                       const std::map<std::string, std::string>& metadata);

}  // namespace atrous
