#include "cli/progress_line.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>

namespace atrous::cli {

namespace {

// The first `most` code points of a text in UTF-8.
std::string first_characters(const std::string& line, std::size_t most) {
  std::size_t seen = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const bool continues = (static_cast<unsigned char>(line[i]) & 0xc0U) == 0x80U;
    if (!continues && seen++ == most) return line.substr(0, i);
  }
  return line;
}

}  // namespace

std::size_t terminal_columns() {
  winsize size{};
  const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

ProgressLine::ProgressLine(bool wanted) : watched_(wanted && isatty(STDERR_FILENO) != 0) {}

void ProgressLine::show(const std::string& line) {
  if (!watched_) return;
  // The last column stays free: a terminal may begin a new line there.
  std::fprintf(stderr, "\r\033[K%s", first_characters(line, terminal_columns() - 1).c_str());
  std::fflush(stderr);
  drawn_ = true;
}

void ProgressLine::clear() {
  if (drawn_) std::fputs("\r\033[K", stderr);
  drawn_ = false;
}

std::string counter(std::size_t number, std::size_t all) {
  const std::string of = std::to_string(all), at = std::to_string(number);
  return '[' + std::string(of.size() - at.size(), ' ') + at + '/' + of + ']';
}

}  // namespace atrous::cli
