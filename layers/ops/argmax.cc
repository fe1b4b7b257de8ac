#include "layers/ops/argmax.h"

#include <algorithm>

#include "layers/base/error.h"

namespace atrous {

void argmax_reference(ConstView in, std::span<std::uint8_t> labels) {
  if (in.shape.c > 256)
    fail(ErrorCode::limit, "argmax: ", in.shape.c, " classes, at most 256 fit a label map");
  for (std::size_t p = 0; p < labels.size(); ++p) {
    const float* logits = in.data + static_cast<std::int64_t>(p) * in.pitch;
    labels[p] = static_cast<std::uint8_t>(std::max_element(logits, logits + in.shape.c) - logits);
  }
}

void threshold_reference(ConstView in, float threshold, std::span<std::uint8_t> labels) {
  if (in.shape.c != 1)
    fail(ErrorCode::invalid_argument, "threshold: expected one channel, found ", in.shape.c);
  for (std::size_t p = 0; p < labels.size(); ++p)
    labels[p] = in.data[static_cast<std::int64_t>(p) * in.pitch] > threshold;
}

}  // namespace atrous
