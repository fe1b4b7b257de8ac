#include "cli/suggest.h"

#include <algorithm>
#include <vector>

#include "layers/base/ascii.h"
#include "layers/base/error.h"

namespace atrous::cli {

namespace {

// Optimal string alignment distance (Damerau 1964, Levenshtein 1966): row by row, three rows kept.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before_last(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    before_last.swap(last);
    last.swap(row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const bool same = lower(a[i - 1]) == lower(b[j - 1]);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + !same});
      if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]))
        row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
  }
  return row[b.size()];
}

}  // namespace

std::string suggestion(std::string_view word, std::span<const std::string> known) {
  constexpr std::size_t longest = 64;  // of a word that somebody meant to be a name
  if (word.empty() || word.size() > longest) return "";
  const std::string* nearest = nullptr;
  std::size_t least = std::max<std::size_t>(1, word.size() / 3) + 1;
  for (const std::string& candidate : known) {
    const std::size_t d = distance(word, candidate);
    // A word of which nothing is left is no misspelling.
    if (d >= least || d >= candidate.size()) continue;
    least = d;
    nearest = &candidate;
  }
  return nearest ? str_cat(" (did you mean ", *nearest, "?)") : "";
}

}  // namespace atrous::cli
