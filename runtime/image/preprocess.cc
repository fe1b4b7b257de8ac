#include "runtime/image/preprocess.h"

#include "layers/base/error.h"

namespace atrous {

DeviceQueue::NormaliseTable normalisation(const Preprocessing& preprocessing) {
  DeviceQueue::NormaliseTable tables;
  for (std::size_t c = 0; c < 3; ++c)
    for (std::size_t v = 0; v < tables[c].size(); ++v)
      tables[c][v] = (static_cast<float>(v) / 255.0f - preprocessing.mean[c]) / preprocessing.std[c];
  return tables;
}

void normalise(const Image& image, const Preprocessing& preprocessing, View out) {
  check(image, "normalise");
  const Shape expected{1, image.height, image.width, 3};
  if (image.channels != 3)
    fail(ErrorCode::invalid_argument, "normalise: expected 3 channels, found ", image.channels);
  if (out.shape != expected)
    fail(ErrorCode::invalid_argument, "normalise: expected an output of ", expected, ", found ", out.shape);
  const auto tables = normalisation(preprocessing);
  for (int y = 0; y < image.height; ++y) {
    const std::uint8_t* from = image.row(y);
    float* to = out.pixel(0, y, 0);
    for (int x = 0; x < image.width; ++x, from += 3, to += out.pitch)
      for (std::size_t c = 0; c < 3; ++c) to[c] = tables[c][from[c]];
  }
}

}  // namespace atrous
