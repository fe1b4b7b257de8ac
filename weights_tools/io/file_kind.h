// What a file is that is not what was asked for.
#pragma once

#include <cstddef>
#include <string_view>

namespace atrous {

// Enough of a file's beginning for all that describe_file() knows.
constexpr std::size_t described_bytes = 512;

// What a file is by its first bytes, to follow the word "is": "a Git LFS pointer: the real file was not
// downloaded", "a GIF image", "empty". Pictures and checkpoints that atrous reads are among them: whoever
// reads one kind names the other. Empty where nothing is known.
std::string_view describe_file(std::string_view head);

}  // namespace atrous
