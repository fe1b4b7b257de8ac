// What the weights of a network do not say: output stride, rates, which of two variants with the same keys.
//
//   KEY=VALUE[,KEY=VALUE]      os=16    os=16,rates=6,12,18    variant=fcn8s-atonce
//
// A value may hold commas: a word without = belongs to the value before it. A family's builder asks for each
// by name and says what it assumes where none is given; the Hyper notes both, so that there is no other list
// of a family's keys.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "layers/base/public.h"

namespace ATROUS_PUBLIC atrous {

class Hyper {
 public:
  Hyper() = default;
  // Error(invalid_argument) unless `written` is empty or of the form above, with each key once, of at most 64
  // letters, digits, - and _; a value has at most 256 printable characters.
  explicit Hyper(std::string_view written);

  bool empty() const { return given_.empty(); }
  std::string text() const;                             // as written, keys in the order of the alphabet
  void override_with(const Hyper& other);               // the other's values in place of these
  const std::string* find(std::string_view key) const;  // as given; nullptr where it is not

  // For builders: the value under `key`, or `assumed` where none is given. Error(invalid_argument), naming
  // the values that may be, for any other.
  std::int64_t integer(std::string_view key, std::int64_t assumed,
                       std::initializer_list<std::int64_t> may_be);
  std::string word(std::string_view key, std::string_view assumed,
                   std::initializer_list<std::string_view> may_be);
  std::string any(std::string_view key, std::string_view assumed);  // whatever is given
  std::int64_t between(std::string_view key, std::int64_t assumed, std::int64_t least, std::int64_t most);
  // As many integers as `assumed` has, each 1 to 1024.
  std::vector<std::int64_t> integers(std::string_view key, const std::vector<std::int64_t>& assumed);

  // What was asked for, in that order.
  struct Choice {
    std::string key, value;
    bool assumed = true;
    bool operator==(const Choice&) const = default;
  };
  const std::vector<Choice>& choices() const { return choices_; }

  // Error(invalid_argument) for a key that was given and that nothing asked for: `network` has no such
  // choice.
  void check_all_asked_for(std::string_view network) const;

 private:
  const std::string* ask(std::string_view key, std::string assumed);

  std::map<std::string, std::string, std::less<>> given_;
  std::vector<Choice> choices_;
};

}  // namespace atrous
