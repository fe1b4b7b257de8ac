#include "layers/networks/preparation.h"

#include <algorithm>
#include <cmath>

#include "layers/base/checked.h"
#include "layers/base/error.h"

namespace atrous {

std::string_view name_of(ChannelOrder order) { return order == ChannelOrder::rgb ? "rgb" : "bgr"; }

void check(const CrfParameters& p) {
  if (p.iterations < 0 || p.iterations > 1000)
    fail(ErrorCode::invalid_argument, "a CRF of ", p.iterations, " iterations: expected 0 to 1000");
  for (const float weight : {p.gaussian.weight, p.bilateral.weight})
    if (!std::isfinite(weight))
      fail(ErrorCode::invalid_argument, "a CRF with a weight of ", weight, ": expected a finite number");
  for (const float deviation : {p.gaussian.xy, p.bilateral.xy, p.bilateral.rgb})
    if (!(deviation >= 0.01f && deviation <= 1e6f))
      fail(ErrorCode::invalid_argument, "a CRF with a standard deviation of ", deviation,
           ": expected 0.01 to 1000000");
}

std::string_view name_of(Decision decision) { return decision == Decision::softmax ? "softmax" : "sigmoid"; }

std::int64_t padded_size(const Padding& padding, std::int64_t size) {
  const std::int64_t wanted = std::max<std::int64_t>(size, padding.least);
  const std::int64_t above = std::max<std::int64_t>(wanted - padding.beyond, 0);
  const std::int64_t steps = above / padding.multiple + (above % padding.multiple != 0);
  return checked_add(checked_multiply<std::int64_t>(steps, padding.multiple, "padded size"),
                     std::int64_t{padding.beyond}, "padded size");
}

Shape padded_shape(const Padding& padding, const Shape& shape) {
  return {shape.n, padded_size(padding, shape.h), padded_size(padding, shape.w), shape.c};
}

Growth growth_of(const Answer& answer, const Shape& seen, const Shape& padded, std::int64_t height,
                 std::int64_t width) {
  const auto whole = [&](std::int64_t seen_size, std::int64_t padded_size, std::int64_t size) {
    const auto s = static_cast<double>(seen_size), p = static_cast<double>(padded_size),
               out = static_cast<double>(size);
    if (seen_size == padded_size) return out;
    if (!answer.align_corners) return out * p / s;
    return seen_size > 1 ? (out - 1) * (p - 1) / (s - 1) + 1 : out * p;
  };
  return {answer.align_corners, whole(seen.h, padded.h, height), whole(seen.w, padded.w, width)};
}

}  // namespace atrous
