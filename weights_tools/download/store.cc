#include "weights_tools/download/store.h"

#include <filesystem>

#include "layers/base/error.h"
#include "weights_tools/download/download.h"
#include "weights_tools/io/cache_folder.h"
#include "weights_tools/io/sha256.h"

namespace atrous {

namespace {

namespace fs = std::filesystem;

bool is_regular(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

void notice(const StoreOptions& options, const std::string& sentence) {
  if (options.notice) options.notice(sentence);
}

// torch.hub's copy, if it is the right one.
std::optional<std::string> right_in_torch_hub(const RemoteFile& source, const StoreOptions& options) {
  const auto folder = torch_hub_folder();
  if (!folder || source.sha256_prefix.empty()) return std::nullopt;
  const std::string path = fs::path(*folder) / source.file;
  if (!is_regular(path)) return std::nullopt;
  const std::string sha256 = sha256_of_file(path);
  if (sha256.starts_with(source.sha256_prefix)) return path;
  notice(options, str_cat(path, ": not used, since its sha256 should begin with ", source.sha256_prefix,
                          " and is ", sha256));
  return std::nullopt;
}

std::string download(const RemoteFile& source, const std::string& folder, const StoreOptions& options) {
  const std::string path = fs::path(folder) / source.file;
  DownloadOptions how;
  how.force = options.force;
  how.progress = options.progress;
  how.waiting = [&] {
    notice(options, source.name + ": another process is downloading it, waiting for that");
  };
  const Fetched fetched = fetch(source.url, path, source.sha256_prefix, how);
  if (source.sha256_prefix.empty() && fetched.downloaded)
    notice(options,
           str_cat(source.file, ": its name carries no sha256 to check it against; it has ", fetched.sha256));
  return path;
}

}  // namespace

std::optional<std::string> stored_checkpoint(std::string_view name) {
  const PublishedCheckpoint* published = find_published(name);
  if (!published) return std::nullopt;
  if (const fs::path own = fs::path(cache_folder()) / published->file; is_regular(own)) return own;
  const auto hub = torch_hub_folder();
  if (hub && is_regular(fs::path(*hub) / published->file)) return fs::path(*hub) / published->file;
  return std::nullopt;
}

RemoteFile remote_file(const PublishedCheckpoint& published) {
  return {std::string(published.name), url_of(published), std::string(published.file),
          std::string(sha256_prefix_in(published.file))};
}

std::string fetch_into_store(const RemoteFile& source, const StoreOptions& options) {
  const std::string folder = cache_folder();
  if (!options.force && !is_regular(fs::path(folder) / source.file))
    if (auto path = right_in_torch_hub(source, options)) return *path;
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail(ErrorCode::io, folder, ": cannot create the cache folder: ", error.message());
  return download(source, folder, options);
}

}  // namespace atrous
