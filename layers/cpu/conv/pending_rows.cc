#include "layers/cpu/conv/pending_rows.h"

#include "layers/base/error.h"
#include "layers/cpu/isa.h"
#include "layers/cpu/maps/multiply_rows.h"

namespace atrous {

void read_rows(const Filter& w, std::int64_t first, std::int64_t last, float* to) {
  const std::int64_t row = w.d1 * w.kernel_h * w.kernel_w;
  const auto& [stored, factors] = *w.pending;
  if (stored) stored->read(first * row, {to, static_cast<std::size_t>((last - first) * row)});
  const bool finite =
      multiply_rows(supported_isas().front(), stored ? to : w.data.get() + first * row, last - first, row,
                    factors.empty() ? nullptr : factors.data() + first, to);
  if (stored && !finite) fail(ErrorCode::not_finite, "weights that are infinite or not a number");
}

}  // namespace atrous
