#include "cli/download_progress.h"

#include <algorithm>
#include <cmath>

#include "cli/cli.h"

namespace atrous::cli {

namespace {

constexpr double mebibyte = 0x1p20;

std::string amounts(std::uint64_t bytes, std::uint64_t total, double rate) {
  std::string out = fixed(static_cast<double>(bytes) / mebibyte, 1);
  if (total > 0) out += " of " + fixed(static_cast<double>(total) / mebibyte, 1);
  out += " MiB";
  if (rate <= 0) return out;
  out += "  " + fixed(rate / mebibyte, 1) + " MiB/s";
  if (total < bytes) return out;
  const double seconds = std::ceil(static_cast<double>(total - bytes) / rate);
  if (seconds < 100) return out + "  " + fixed(seconds, 0) + " s left";
  return seconds < 6000 ? out + "  " + fixed(seconds / 60, 0) + " min left" : out;
}

}  // namespace

std::string progress_line(const std::string& name, std::uint64_t bytes, std::uint64_t total, double rate,
                          std::size_t columns) {
  constexpr std::size_t shortest_bar = 5, longest_bar = 30;
  const std::string numbers = amounts(bytes, total, rate);
  const std::size_t others = name.size() + numbers.size() + 6;  // two gaps and two brackets
  std::string line = name + "  ";
  if (total > 0 && columns >= others + shortest_bar) {
    const std::size_t cells = std::min(longest_bar, columns - others);
    const double share = std::min(1.0, static_cast<double>(bytes) / static_cast<double>(total));
    const auto full = static_cast<std::size_t>(share * static_cast<double>(cells));
    line += '[' + std::string(full, '#') + std::string(cells - full, '.') + "]  ";
  }
  return (line + numbers).substr(0, columns);
}

void DownloadProgress::show(std::uint64_t bytes, std::uint64_t total) {
  const auto now = Clock::now();
  if (!begun_ || bytes < first_bytes_) {
    begun_ = true;
    first_bytes_ = bytes;
    began_ = now;
  }
  const double seconds = std::chrono::duration<double>(now - began_).count();
  const double rate = seconds > 0.5 ? static_cast<double>(bytes - first_bytes_) / seconds : 0;
  line_.show(progress_line(name_, bytes, total, rate, terminal_columns() - 1));
}

}  // namespace atrous::cli
