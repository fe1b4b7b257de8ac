// The files that the server has besides: its description in OpenAPI, and the page. The files of this folder
// and of the page's, put into the program by CMake.
#pragma once

#include <span>
#include <string_view>

namespace atrous::serve {

struct SiteFile {
  std::string_view path, type, text;
};
std::span<const SiteFile> site_files();

// What the page may load and do: its own files, pictures that it makes, and this server.
constexpr std::string_view site_policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' "
    "blob:; "
    "connect-src 'self' blob: data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

}  // namespace atrous::serve
