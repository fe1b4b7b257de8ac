// The keys of a state dict that a message names.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "layers/base/error.h"
#include "layers/base/visible_text.h"

namespace atrous {

// Sentences about keys. The first twenty are kept, the rest is counted: a file may hold a million keys, and a
// message is read by people.
class KeyList {
 public:
  static constexpr std::size_t most = 20;

  template <class... Parts>
  void add(const Parts&... parts) {
    if (count_++ < most) lines_.push_back(visible(str_cat(parts...)));
  }

  // Puts another list behind this one.
  void add_all(const KeyList& other) {
    const std::size_t room = most - std::min(most, lines_.size());
    lines_.insert(lines_.end(), other.lines_.begin(),
                  other.lines_.begin() + static_cast<std::ptrdiff_t>(std::min(room, other.lines_.size())));
    count_ += other.count_;
  }

  std::size_t count() const { return count_; }
  bool empty() const { return count_ == 0; }

  // "\n  KEY: missing\n  KEY: missing\n  and 7 more", for fail() as const char*, which keeps the lines.
  std::string in_lines() const {
    std::string out;
    for (const std::string& line : lines_) out += "\n  " + line;
    if (count_ > lines_.size()) out += str_cat("\n  and ", count_ - lines_.size(), " more");
    return out;
  }

 private:
  std::vector<std::string> lines_;
  std::size_t count_ = 0;
};

}  // namespace atrous
