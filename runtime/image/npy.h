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

class InputFile;  // weights_tools/io/file.h

// An array of shape (N, channels, H, W), '<f4', C order, format 1.0, 2.0 or 3.0 -> a tensor [N, H, W,
// channels]. `channels` 0 accepts any number, and (C, H, W) as of one picture. Refusals begin with `name` and
// give both sides: Error(unsupported) for another dtype, order or format version, Error(mismatch) for another
// rank or number of channels, Error(malformed) for a header that does not parse and for data longer or
// shorter than the shape, Error(limit) for a shape that overflows.
Tensor read_npy(std::span<const std::byte> file, std::string_view name, std::int64_t channels = 3);

// The same of an open file, which is never in memory as a whole: the tensor is read into its place.
class NpyInput {
 public:
  explicit NpyInput(const InputFile&, std::int64_t channels = 3);  // the file stays open as long as this
  const Shape& shape() const { return shape_; }
  // Error(invalid_argument) for a place of another shape, Error(io) for a file that has become shorter.
  void read(View) const;

 private:
  const InputFile& file_;
  Shape shape_;
  std::uint64_t begin_ = 0;  // of the data
};

bool is_npy(std::span<const std::byte> file);  // begins as one
bool is_npy(const InputFile&);

// Labels as NumPy keeps them: an array of shape (H, W) or (1, H, W), bool or integers of 1 to 8 bytes, little
// endian, C or Fortran order. Values are 0..255; -1 and 65535 are void, 255. Errors as read_npy's,
// and Error(malformed) with the first pixel whose value is another; Error(limit) for more than `max_pixels`.
LabelMap read_npy_labels(std::span<const std::byte> file, std::string_view name, std::int64_t max_pixels);

// A tensor [N, H, W, C] -> a .npy of shape (N, C, H, W), or of one image (C, H, W), '<f4', C order,
// format 1.0.
enum class NpyRank { batch, image };
std::vector<std::byte> encode_npy(ConstView, NpyRank = NpyRank::batch);

}  // namespace atrous
