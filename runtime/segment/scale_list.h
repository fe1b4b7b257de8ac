// Scales of a test protocol as options give them.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

namespace atrous {

// The numbers of "0.5,0.75,1", decimal and with one comma between them; nothing for any other text. Whether
// they can be scales, check() says.
std::optional<std::vector<double>> parse_scales(std::string_view);

}  // namespace atrous
