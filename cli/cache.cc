#include "cli/cache.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "cli/cli.h"
#include "cli/download_progress.h"
#include "cli/suggest.h"
#include "layers/base/error.h"
#include "layers/base/visible_text.h"
#include "weights_tools/download/catalogue.h"
#include "weights_tools/download/download.h"
#include "weights_tools/io/clean_text.h"
#include "weights_tools/io/sha256.h"

namespace atrous::cli {

namespace {

namespace fs = std::filesystem;

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

void notice(const FetchOptions& options, std::string_view sentence) {
  if (options.quiet) return;
  std::fprintf(stderr, "%s\n", visible(sentence).c_str());
}

// What is to be fetched: from where, under which name, with which sha256.
struct Source {
  std::string name, url, file, sha256_prefix;
};

Source source_of_url(const std::string& url) {
  const std::string file = file_name_in_url(url);
  if (file.empty())
    throw UsageError{atrous::str_cat("url ", printable(url), ": does not end in a usable file name")};
  return {file, url, file, std::string(sha256_prefix_in(file))};
}

Source source_of_name(const std::string& name, const std::string& mirror) {
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
  std::string url = mirror.empty() ? url_of(*published) : mirror;
  if (url.ends_with('/')) url += published->file;
  return {name, url, std::string(published->file), std::string(sha256_prefix_in(published->file))};
}

Source source_of(const std::string& name, const FetchOptions& options) {
  const bool is_url = name.find("://") != std::string::npos;
  if (is_url && !options.url.empty())
    throw UsageError{"--url goes with the name of a checkpoint, not with a url"};
  try {
    if (is_url) check_url(name);
    Source source = is_url ? source_of_url(name) : source_of_name(name, options.url);
    check_url(source.url);
    return source;
  } catch (const Error& error) {
    throw UsageError{error.what()};
  }
}

// torch.hub's copy, if it is the right one.
std::optional<std::string> right_in_torch_hub(const Source& source, const FetchOptions& options) {
  const auto folder = torch_hub_folder();
  if (!folder || source.sha256_prefix.empty()) return std::nullopt;
  const std::string path = fs::path(*folder) / source.file;
  if (!is_file(path)) return std::nullopt;
  const std::string sha256 = sha256_of_file(path);
  if (sha256.starts_with(source.sha256_prefix)) return path;
  notice(options, atrous::str_cat(path, ": not used, since its sha256 should begin with ",
                                  source.sha256_prefix, " and is ", sha256));
  return std::nullopt;
}

void make_folder(const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail(ErrorCode::io, folder, ": cannot create the cache folder: ", error.message());
}

std::string download(const Source& source, const std::string& folder, const FetchOptions& options) {
  const std::string path = fs::path(folder) / source.file;
  DownloadProgress progress(source.name, !options.quiet);
  bool announced = false;
  DownloadOptions how;
  how.force = options.force;
  how.waiting = [&] {
    notice(options, source.name + ": another process is downloading it, waiting for that");
  };
  how.progress = [&](std::uint64_t bytes, std::uint64_t total) {
    if (progress.is_drawn()) return progress.show(bytes, total);
    if (!announced) notice(options, atrous::str_cat("fetching ", source.url, " to ", path));
    announced = true;
  };
  const Fetched fetched = fetch(source.url, path, source.sha256_prefix, how);
  progress.clear();
  if (source.sha256_prefix.empty() && fetched.downloaded)
    notice(options, atrous::str_cat(source.file, ": its name carries no sha256 to check it against; it has ",
                                    fetched.sha256));
  return path;
}

}  // namespace

std::optional<std::string> cached_checkpoint(std::string_view name) {
  const PublishedCheckpoint* published = find_published(name);
  if (!published) return std::nullopt;
  if (const fs::path own = fs::path(cache_folder()) / published->file; is_file(own)) return own;
  const auto hub = torch_hub_folder();
  if (hub && is_file(fs::path(*hub) / published->file)) return fs::path(*hub) / published->file;
  return std::nullopt;
}

std::string fetch_checkpoint(const std::string& name, const FetchOptions& options) {
  const Source source = source_of(name, options);
  const std::string folder = cache_folder();
  if (!options.force && !is_file(fs::path(folder) / source.file))
    if (auto path = right_in_torch_hub(source, options)) return *path;
  make_folder(folder);
  return download(source, folder, options);
}

}  // namespace atrous::cli
