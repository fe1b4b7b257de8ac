// Who may ask: tokens, the names that the listener answers to, and the pages that may ask from a browser.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/serve/request_head.h"

namespace atrous::serve {

// "127.0.0.1:8080", "[::1]:8080", "0.0.0.0:0". Port 0: whichever is free.
struct ListenAddress {
  std::string address;  // as numbers, without brackets
  int port = 0;
  bool loopback() const;  // within 127.0.0.0/8, or ::1
  bool any() const;       // 0.0.0.0 or ::, every address of this machine
};
// Error(invalid_argument) for anything but an address as numbers and a port of 0..65535.
ListenAddress parse_listen_address(std::string_view);

// In a time that depends on `given` alone.
bool equal_in_constant_time(std::string_view given, std::string_view secret);

// Secrets of which a request has to bring one: "Authorization: Bearer TOKEN".
class Tokens {
 public:
  Tokens() = default;  // none is asked for
  // Of a file, one a line, each of 16 to 512 printable characters without spaces; empty lines do not count.
  // Error(invalid_argument) for other lines, for none, and for a file that everybody on this machine may
  // read; Error(io). No sentence holds a token.
  static Tokens of_file(const std::string& path);

  bool asked_for() const { return !tokens_.empty(); }
  // Whether the field's value brings one; true where none is asked for.
  bool accept(std::string_view authorization) const;

 private:
  std::vector<std::string> tokens_;
};

// The names that the listener goes by. A browser that a stranger's page has led here by a name of the
// stranger's (DNS rebinding) brings that name as its Host, and is refused.
class Names {
 public:
  // Of loopback "localhost" and the addresses of loopback; of another address that; `given`: names that a
  // proxy or a network's name service has for this machine, in any case.
  Names(const ListenAddress&, const std::vector<std::string>& given);

  // host: the field's value, NAME[:PORT]; without a port, 80. local_address: where the connection arrived.
  // Names that are given go with any port: a proxy has its own.
  bool accept(std::string_view host, std::string_view local_address) const;

 private:
  ListenAddress listen_;
  std::vector<std::string> given_;
};

// The pages of other origins that may ask (CORS): "https://example.org" as browsers write it, or "*".
class Origins {
 public:
  Origins() = default;
  // Error(invalid_argument) for what is neither.
  explicit Origins(std::vector<std::string> allowed);

  // For the value of Origin: what Access-Control-Allow-Origin says, or nothing.
  std::optional<std::string> allowed(std::string_view origin) const;

 private:
  std::vector<std::string> allowed_;
};

// Whether a page of this server itself asks: its origin is http, or a proxy's https, of the request's own
// Host.
bool same_origin(const RequestHead&);

}  // namespace atrous::serve
