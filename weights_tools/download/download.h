// Files from the network, whole and checked: downloaded beside their place, resumed where a download broke
// off, and renamed once their sha256 is the expected one.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace atrous {

struct DownloadOptions {
  std::function<void(std::uint64_t bytes, std::uint64_t total)> progress;  // total: 0 while unknown
  std::function<void()> waiting;  // once, when another process is downloading the same file
  bool force = false;             // download although the file is there
  std::uint64_t most_bytes = std::uint64_t{4} << 30;
  std::string curl = "curl";  // the program, searched in PATH
  int connect_seconds = 30;
  int stall_seconds = 30;  // with hardly a byte, until it is given up
};

struct Fetched {
  std::string sha256;       // of the whole file, 64 hex digits
  bool downloaded = false;  // false: it was there already, with the right sha256
};

// Makes `destination` the file at `url` (https:// or http://, printable ASCII, no user name or password).
// Its folder must exist. `sha256_prefix` has 8 to 64 lower-case hex digits, or is empty: then nothing is
// checked and nothing is resumed either, since no one could tell halves of two files from one file.
//
// Until it is complete the file is `destination`.part. That stays behind when the connection breaks, and the
// next call goes on from there; a server that cannot do so, or halves that do not fit, mean one more start
// from nothing. Processes that fetch the same file take turns, and the later ones find it done.
//
// Error(io): no curl, no connection, no such file, a broken or stalled transfer (with the bytes so far and
// in all), a folder or disk that does not take it. Error(malformed): the sha256 is another, both are named.
// Error(limit): more than most_bytes. Error(invalid_argument): the url or the prefix is none.
Fetched fetch(const std::string& url, const std::string& destination, std::string_view sha256_prefix,
              const DownloadOptions& = {});

// The file name at the end of a url, without query and fragment; empty when it has none that can be used as
// it is: 1 to 200 of ASCII's printable characters, neither space, slash nor backslash, not beginning with a
// dot or a hyphen.
std::string file_name_in_url(std::string_view url);

// Error(invalid_argument) for what fetch() takes no url to be.
void check_url(const std::string& url);

}  // namespace atrous
