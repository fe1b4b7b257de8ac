// Journals (runtime/evaluation/journal.h) whose lines are as an input has them, with checksums that fit.
#pragma once

#include <string>

#include "tests/fuzz/fuzz.h"
#include "tests/support/journal_testing.h"

namespace atrous::fuzz {

inline std::string signed_lines(Bytes input) {
  std::string journal;
  std::string_view left = as_text(input);
  while (!left.empty()) {
    const std::size_t end = left.find('\n');
    const std::string_view line = left.substr(0, end);
    journal += line.empty() ? "\n" : journal_testing::signed_line(std::string(line));
    left = end == left.npos ? "" : left.substr(end + 1);
  }
  return journal;
}

}  // namespace atrous::fuzz
