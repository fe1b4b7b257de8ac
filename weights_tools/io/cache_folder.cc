#include "weights_tools/io/cache_folder.h"

#include <cstdlib>
#include <filesystem>

#include "layers/base/error.h"

namespace atrous {

namespace {

namespace fs = std::filesystem;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// $XDG_CACHE_HOME or ~/.cache
std::optional<fs::path> user_cache() {
  if (const fs::path xdg = variable("XDG_CACHE_HOME"); xdg.is_absolute()) return xdg;
  if (const fs::path home = variable("HOME"); !home.empty()) return home / ".cache";
  return std::nullopt;
}

}  // namespace

std::string cache_folder() {
  if (const std::string own = variable("ATROUS_CACHE"); !own.empty()) return own;
  if (const auto cache = user_cache()) return *cache / "atrous";
  fail(ErrorCode::io, "no folder for downloads: none of ATROUS_CACHE, XDG_CACHE_HOME and HOME is set");
}

std::optional<std::string> torch_hub_folder() {
  fs::path torch = variable("TORCH_HOME");
  if (torch.string().starts_with("~/")) torch = variable("HOME") + torch.string().substr(1);  // as torch does
  if (torch.empty()) {
    const auto cache = user_cache();
    if (!cache) return std::nullopt;
    torch = *cache / "torch";
  }
  return torch / "hub" / "checkpoints";
}

}  // namespace atrous
