// How far a verb is: one line on stderr, rewritten in place, where a person watches.
#pragma once

#include <cstddef>
#include <string>

namespace atrous::cli {

std::size_t terminal_columns();

class ProgressLine {
 public:
  // Nothing is drawn where stderr is no terminal.
  explicit ProgressLine(bool wanted);
  ~ProgressLine() { clear(); }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  bool is_drawn_to() const { return watched_; }
  // The line in the last one's place, as far as the terminal is wide; fit to be shown (see visible_text.h).
  void show(const std::string& line);
  void clear();  // before anything else is written to stderr

 private:
  const bool watched_;
  bool drawn_ = false;
};

// "[ 3/20]"
std::string counter(std::size_t number, std::size_t all);

}  // namespace atrous::cli
