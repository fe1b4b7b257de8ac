#include "runtime/segment/scale_list.h"

#include <charconv>
#include <system_error>

#include "layers/base/error.h"

namespace atrous {

std::optional<std::vector<double>> parse_scales(std::string_view text) try {
  std::vector<double> scales;
  const char *at = text.data(), *const end = at + text.size();
  while (true) {
    const auto [stop, error] = std::from_chars(at, end, scales.emplace_back());
    if (error != std::errc()) return std::nullopt;
    if (stop == end) return scales;
    if (*stop != ',') return std::nullopt;
    at = stop + 1;
  }
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
