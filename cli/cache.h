// Checkpoints downloaded, and where they lie.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "cli/cache_folder.h"

namespace atrous::cli {

// The path of a published checkpoint (weights_tools/download/catalogue.h) by its name, where it lies in our
// folder or in torch.hub's; nothing for one that does not, and for names that are none. Reads no file:
// whether the content is right was checked by whoever put it there.
std::optional<std::string> cached_checkpoint(std::string_view name);

struct FetchOptions {
  std::string url = {};  // a mirror: a folder's url, which ends in a slash, or the file's own
  bool quiet = false;    // neither progress nor notices on stderr
  bool force = false;    // download although the file is there
};

// The path of a checkpoint whose sha256 has been checked: found in our folder or torch.hub's, else downloaded
// into ours with a progress line on stderr. `name` is a published checkpoint's, or a url; of the latter's
// file the sha256 is checked if its name carries a prefix of it, and it is said if not. UsageError for other
// names and for unfit urls; otherwise fetch()'s errors.
std::string fetch_checkpoint(const std::string& name, const FetchOptions& = {});

}  // namespace atrous::cli
