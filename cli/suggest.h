// What a mistyped word may have meant.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace atrous::cli {

// " (did you mean segment?)" where one of `known` is near: it differs by at most a third of the word's
// letters added, left out, replaced or swapped with their neighbour, whatever their case. Otherwise empty.
std::string suggestion(std::string_view word, std::span<const std::string> known);

}  // namespace atrous::cli
