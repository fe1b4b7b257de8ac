#include "runtime/serve/guard.h"

#include <arpa/inet.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>

#include "layers/base/ascii.h"
#include "layers/base/error.h"
#include "weights_tools/io/file.h"

namespace atrous::serve {

namespace {

bool is_ipv4(const std::string& text) {
  in_addr address;
  return inet_pton(AF_INET, text.c_str(), &address) == 1;
}

bool is_ipv6(const std::string& text) {
  in6_addr address;
  return inet_pton(AF_INET6, text.c_str(), &address) == 1;
}

std::optional<int> port_of(std::string_view digits) {
  int port = 0;
  const auto [rest, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  const bool whole = error == std::errc() && rest == digits.data() + digits.size() && digits.size() <= 5;
  return whole && is_digit(digits.front()) && port <= 65535 ? std::optional(port) : std::nullopt;
}

// NAME or [ADDRESS], and what stands behind the colon; no port: 80.
struct HostAndPort {
  std::string name;
  int port = 80;
};
std::optional<HostAndPort> host_and_port(std::string_view text) {
  HostAndPort out;
  std::string_view rest;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == text.npos) return std::nullopt;
    out.name = text.substr(1, end - 1);
    if (!is_ipv6(out.name)) return std::nullopt;
    rest = text.substr(end + 1);
  } else {
    const std::size_t colon = std::min(text.find(':'), text.size());
    out.name = lower(text.substr(0, colon));
    rest = text.substr(colon);
  }
  if (out.name.empty()) return std::nullopt;
  if (rest.empty()) return out;
  const auto port = rest.starts_with(':') && rest.size() > 1 ? port_of(rest.substr(1)) : std::nullopt;
  if (!port) return std::nullopt;
  out.port = *port;
  return out;
}

bool is_loopback(const std::string& address) {
  return (is_ipv4(address) && address.starts_with("127.")) || address == "::1";
}

constexpr std::size_t shortest_token = 16, longest_token = 512;

}  // namespace

bool ListenAddress::loopback() const { return is_loopback(address); }
bool ListenAddress::any() const { return address == "0.0.0.0" || address == "::"; }

ListenAddress parse_listen_address(std::string_view text) {
  const auto found = host_and_port(text);
  const bool has_port = text.rfind(':') != text.npos && !text.ends_with(']');
  if (!found || !has_port || !(is_ipv4(found->name) || is_ipv6(found->name)))
    fail(ErrorCode::invalid_argument,
         "expected ADDRESS:PORT as numbers, such as 127.0.0.1:8080 or [::1]:8080, found ", text);
  return {found->name, found->port};
}

bool equal_in_constant_time(std::string_view given, std::string_view secret) {
  volatile unsigned difference = given.size() != secret.size();
  if (secret.empty()) return given.empty();
  for (std::size_t i = 0; i < given.size(); ++i)
    difference = difference | static_cast<unsigned>(static_cast<unsigned char>(given[i]) ^
                                                    static_cast<unsigned char>(secret[i % secret.size()]));
  return difference == 0;
}

Tokens Tokens::of_file(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) == 0 && (status.st_mode & S_IRWXO) != 0)
    fail(ErrorCode::invalid_argument, path,
         ": everybody on this machine may read the tokens; chmod o= ", path);
  const auto bytes = read_file(path, 1 << 20);
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  Tokens out;
  for (int number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    const bool printable = std::ranges::all_of(line, [](char c) { return c > ' ' && c <= '~'; });
    if (!printable || line.size() < shortest_token || line.size() > longest_token)
      fail(ErrorCode::invalid_argument, path, ": line ", number, ": expected a token of ", shortest_token,
           " to ", longest_token, " printable characters without spaces, found ", line.size(), " bytes");
    out.tokens_.emplace_back(line);
  }
  if (out.tokens_.empty())
    fail(ErrorCode::invalid_argument, path, ": expected a token in a line, found none");
  return out;
}

bool Tokens::accept(std::string_view authorization) const {
  if (tokens_.empty()) return true;
  constexpr std::string_view scheme = "bearer ";
  if (lower(authorization.substr(0, scheme.size())) != scheme) return false;
  const std::string_view given = authorization.substr(scheme.size());
  bool found = false;
  for (const std::string& token : tokens_) found = equal_in_constant_time(given, token) || found;
  return found;
}

Names::Names(const ListenAddress& listen, const std::vector<std::string>& given) : listen_(listen) {
  for (const std::string& name : given) given_.push_back(lower(name));
}

bool Names::accept(std::string_view host, std::string_view local_address) const {
  const auto asked = host_and_port(host);
  if (!asked) return false;
  if (std::ranges::find(given_, asked->name) != given_.end()) return true;
  if (asked->port != listen_.port) return false;
  if (asked->name == local_address) return true;
  const bool is_local = is_loopback(std::string(local_address));
  return is_local && (asked->name == "localhost" || is_loopback(asked->name));
}

Origins::Origins(std::vector<std::string> allowed) : allowed_(std::move(allowed)) {
  for (const std::string& origin : allowed_) {
    const std::size_t scheme = origin.find("://");
    const bool whole = origin.starts_with("http") && scheme != origin.npos &&
                       origin.find('/', scheme + 3) == origin.npos && origin.size() > scheme + 3 &&
                       std::ranges::all_of(origin, [](char c) { return c > ' ' && c <= '~'; });
    if (origin != "*" && !whole)
      fail(ErrorCode::invalid_argument, "expected an origin such as https://example.org, or *, found ",
           origin);
  }
}

std::optional<std::string> Origins::allowed(std::string_view origin) const {
  for (const std::string& one : allowed_)
    if (one == "*" || one == origin) return one;
  return std::nullopt;
}

bool same_origin(const RequestHead& head) {
  return head.origin == "http://" + head.host || head.origin == "https://" + head.host;
}

}  // namespace atrous::serve
