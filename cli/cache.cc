#include "cli/cache.h"

#include <cstdio>
#include <vector>

#include "cli/cli.h"
#include "cli/download_progress.h"
#include "cli/suggest.h"
#include "layers/base/error.h"
#include "layers/base/visible_text.h"
#include "weights_tools/download/download.h"
#include "weights_tools/download/store.h"
#include "weights_tools/io/cache_folder.h"
#include "weights_tools/io/clean_text.h"

namespace atrous::cli {

namespace {

RemoteFile source_of_url(const std::string& url) {
  const std::string file = file_name_in_url(url);
  if (file.empty())
    throw UsageError{atrous::str_cat("url ", printable(url), ": does not end in a usable file name")};
  return {file, url, file, std::string(sha256_prefix_in(file))};
}

RemoteFile source_of_name(const std::string& name, const std::string& mirror) {
  const PublishedCheckpoint* published = find_published(name);
  if (!published) {
    std::string all;
    std::vector<std::string> known;
    for (const PublishedCheckpoint& p : published_checkpoints()) {
      known.emplace_back(p.name);
      all += (all.empty() ? "" : ", ") + known.back();
    }
    throw UsageError{atrous::str_cat(printable(name), ": no published checkpoint", suggestion(name, known),
                                     ", expected a url or one of ", all)};
  }
  RemoteFile source = remote_file(*published);
  if (!mirror.empty()) source.url = mirror;
  if (source.url.ends_with('/')) source.url += source.file;
  return source;
}

RemoteFile source_of(const std::string& name, const FetchOptions& options) {
  const bool is_url = name.find("://") != std::string::npos;
  if (is_url && !options.url.empty())
    throw UsageError{"--url goes with the name of a checkpoint, not with a url"};
  try {
    if (is_url) check_url(name);
    RemoteFile source = is_url ? source_of_url(name) : source_of_name(name, options.url);
    check_url(source.url);
    return source;
  } catch (const Error& error) {
    throw UsageError{error.what()};
  }
}

}  // namespace

std::string fetch_checkpoint(const std::string& name, const FetchOptions& options) {
  const RemoteFile source = source_of(name, options);
  DownloadProgress progress(source.name, !options.quiet);
  bool announced = false;
  StoreOptions how;
  how.force = options.force;
  how.notice = [&](const std::string& sentence) {
    progress.clear();
    if (!options.quiet) std::fprintf(stderr, "%s\n", visible(sentence).c_str());
  };
  how.progress = [&](std::uint64_t bytes, std::uint64_t total) {
    if (progress.is_drawn()) return progress.show(bytes, total);
    if (!announced)
      how.notice(atrous::str_cat("fetching ", source.url, " to ", cache_folder(), '/', source.file));
    announced = true;
  };
  const std::string path = fetch_into_store(source, how);
  progress.clear();
  return path;
}

}  // namespace atrous::cli
