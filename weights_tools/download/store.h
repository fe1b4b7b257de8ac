// The checkpoints that have been downloaded, in our folder (weights_tools/io/cache_folder.h) or torch.hub's.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "weights_tools/download/catalogue.h"

namespace atrous {

// The path of a published checkpoint by its name, where it lies in one of the folders; nothing for one that
// does not, and for names that are none. Reads no file: whether the content is right was checked by whoever
// put it there.
std::optional<std::string> stored_checkpoint(std::string_view name);

// What is to be fetched: from where, under which name, with which sha256, or its beginning.
struct RemoteFile {
  std::string name, url, file, sha256_prefix;
};
RemoteFile remote_file(const PublishedCheckpoint&);

struct StoreOptions {
  bool force = false;                                                      // download although it is there
  std::function<void(std::uint64_t bytes, std::uint64_t total)> progress;  // total: 0 while unknown
  std::function<void(const std::string& sentence)> notice;                 // what somebody may want to know
};

// The path of a file whose sha256 has been checked: found in our folder or torch.hub's, else downloaded into
// ours. Without a sha256 nothing is checked, which is noticed. Errors of cache_folder() and fetch().
std::string fetch_into_store(const RemoteFile&, const StoreOptions& = {});

}  // namespace atrous
