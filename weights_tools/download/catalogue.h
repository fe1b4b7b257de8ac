// The checkpoints that publishers offer at an address: of those of all families (layers/networks/family.h)
// the ones that are not to be had by hand alone.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "layers/networks/family.h"

namespace atrous {

// In the families' order.
std::vector<PublishedCheckpoint> published_checkpoints();

// By its variant's name; nullptr for any other.
const PublishedCheckpoint* find_published(std::string_view name);

// Where its publisher keeps it.
std::string url_of(const PublishedCheckpoint&);

// The sha256 prefix that a file name carries by torch.hub's convention, "NAME-586e9e4e.pth": 8 to 64
// lower-case hex digits between the last hyphen and the extension. Empty when there is none.
std::string_view sha256_prefix_in(std::string_view file);

}  // namespace atrous
