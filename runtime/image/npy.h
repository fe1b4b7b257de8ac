// NumPy's .npy files: numpy.load and numpy.save can be at the other end.
// Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "layers/base/public.h"
#include "layers/base/tensor.h"
#include "runtime/image/image.h"

namespace ATROUS_PUBLIC atrous {

// An array of shape (N, channels, H, W), '<f4', C order, format 1.0, 2.0 or 3.0 -> a tensor [N, H, W,
// channels]. `channels` 0 accepts any number, and (C, H, W) as of one picture. Refusals begin with `name` and
// give both sides: Error(unsupported) for another dtype, order or format version, Error(mismatch) for another
// rank or number of channels, Error(malformed) for a header that does not parse and for data longer or
// shorter than the shape, Error(limit) for a shape that overflows.
Tensor read_npy(std::span<const std::byte> file, std::string_view name, std::int64_t channels = 3);

bool is_npy(std::span<const std::byte> file);  // begins as one

// Labels as NumPy keeps them: an array of shape (H, W) or (1, H, W), bool or integers of 1 to 8 bytes, little
// endian, C or Fortran order. Values are 0..255; -1 and 65535 are void, 255. Errors as read_npy's,
// and Error(malformed) with the first pixel whose value is another; Error(limit) for more than `max_pixels`.
LabelMap read_npy_labels(std::span<const std::byte> file, std::string_view name, std::int64_t max_pixels);

// A tensor [N, H, W, C] -> a .npy of shape (N, C, H, W), or of one image (C, H, W), '<f4', C order,
// format 1.0.
enum class NpyRank { batch, image };
std::vector<std::byte> encode_npy(ConstView, NpyRank = NpyRank::batch);

}  // namespace atrous
