// Checkpoints by name or url, as people ask for them: the store (weights_tools/download/store.h) with words
// and a progress line.
#pragma once

#include <string>

namespace atrous::cli {

struct FetchOptions {
  std::string url = {};  // a mirror: a folder's url, which ends in a slash, or the file's own
  bool quiet = false;    // neither progress nor notices on stderr
  bool force = false;    // download although the file is there
};

// The path of a checkpoint whose sha256 has been checked, in the store; else downloaded into it with a
// progress line on stderr. `name` is a published checkpoint's, or a url; of the latter's file the sha256 is
// checked if its name carries a prefix of it, and it is said if not. UsageError for other names and for unfit
// urls; otherwise fetch_into_store()'s errors.
std::string fetch_checkpoint(const std::string& name, const FetchOptions& = {});

}  // namespace atrous::cli
