#include "layers/cpu/conv/tap_rows.h"

namespace atrous {

double implicit_gemm_products(const PackedConv2d& packed, const Shape& in, const Shape& out) {
  const Conv2d& layer = packed.layer();
  const Filter& w = layer.weight;
  // Taps of all outputs along an axis, or of those only that do not read padding.
  const auto taps = [&](std::int64_t size, std::int64_t in_size, std::int64_t kernel) {
    std::int64_t count = 0;
    for (std::int64_t tap = 0; tap < kernel && layer.dilation >= wide_dilation; ++tap)
      for (std::int64_t i = 0; i < size; ++i) {
        const std::int64_t at = i * layer.stride - layer.padding + tap * layer.dilation;
        count += at >= 0 && at < in_size ? 1 : 0;
      }
    return static_cast<double>(layer.dilation >= wide_dilation ? count : size * kernel);
  };
  constexpr double per_row_of_taps = 1.05;  // tiles at the edge of the padding do not skip all of it
  return per_row_of_taps * static_cast<double>(out.n) * taps(out.h, in.h, w.kernel_h) *
         taps(out.w, in.w, w.kernel_w) * static_cast<double>(w.d1) *
         static_cast<double>(layer.groups * packed.panels() * packed.tile().columns);
}

}  // namespace atrous
