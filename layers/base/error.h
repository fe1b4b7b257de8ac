// The one exception type of the library, and the one way to throw it.
#pragma once

#include <array>
#include <cstddef>
#include <exception>
#include <ostream>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "layers/base/public.h"

namespace ATROUS_PUBLIC atrous {

enum class ErrorCode {
  invalid_argument,  // the caller asked for something that cannot be
  io,                // a file could not be opened, read, written or renamed
  malformed,         // a file is not what its format says
  unsupported,       // well-formed, but outside what atrous does
  limit,             // a size, count or memory cap would be exceeded
  mismatch,          // a checkpoint does not fit the network it claims to be
  not_finite,        // a network's values overflowed: its logits are infinite or no numbers
  device,            // a device failed at work that it had accepted; what it computed since is lost
};

// Every failure of the library: a code for programs and a sentence for people. The sentence names the
// offending thing and, where two numbers disagree, both. File names and other strings from outside stand in
// it as visible() shows them (visible_text.h): no sentence steers a terminal, and lines break only before the
// keys of a list.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& sentence) : std::runtime_error(sentence), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

// Error(limit) where memory could not be had. Takes none itself.
class OutOfMemory final : public Error {
 public:
  explicit OutOfMemory(std::size_t bytes_asked_for = 0) noexcept;
  const char* what() const noexcept override { return sentence_.data(); }

 private:
  std::array<char, 64> sentence_;
};

// The handler of every public function: an Error passes, and what the standard library threw becomes one.
//
//   Image read_image(...) try {
//     ...
//   } catch (...) {
//     rethrow_as_error();
//   }
//
// bad_alloc: OutOfMemory. length_error, and a thread that cannot be had: Error(limit). Other errors of the
// system and its files: Error(io). Whatever else derives from std::exception: Error(invalid_argument).
[[noreturn]] void rethrow_as_error();

// What a function that the host gave has thrown, on its way through the library.
struct FromHost {
  std::exception_ptr exception;
};

// Calls a function that the host gave: what that throws reaches the host as it is.
template <class Function, class... Arguments>
auto call_host(const Function& function, Arguments&&... arguments) {
  try {
    return function(std::forward<Arguments>(arguments)...);
  } catch (...) {
    throw FromHost{std::current_exception()};
  }
}

// An argument of str_cat(), as long as that is called.
class TextPart {
 public:
  // How std::string and std::string_view are printed. Literals, and the sentences of errors, which are shown
  // already, are const char*, and always exact.
  enum class Strings { exact, shown };

  template <class T>
  TextPart(const T& value) : value_(&value), put_(put_value<T>) {}
  TextPart(const char* value)
      : value_(value), put_([](std::ostream& out, const TextPart& part, Strings) {
          out << static_cast<const char*>(part.value_);
        }) {}
  TextPart(std::ios_base& (*manipulator)(std::ios_base&))
      : manipulator_(manipulator),
        put_([](std::ostream& out, const TextPart& part, Strings) { out << part.manipulator_; }) {}
  void put(std::ostream& out, Strings strings) const { put_(out, *this, strings); }

 private:
  template <class T>
  static void put_value(std::ostream& out, const TextPart& part, Strings strings) {
    const T& value = *static_cast<const T*>(part.value_);
    if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, std::string_view>)
      put_string(out, value, strings);
    else
      out << value;
  }
  static void put_string(std::ostream&, std::string_view, Strings);

  union {
    const void* value_;
    std::ios_base& (*manipulator_)(std::ios_base&);
  };
  void (*put_)(std::ostream&, const TextPart&, Strings);
};
std::string joined(std::span<const TextPart>, TextPart::Strings);
[[noreturn]] void fail_with(ErrorCode, std::span<const TextPart>);

// Joins its arguments as operator<< prints them, whatever locale the process has: str_cat("expected ", 3, ",
// found ", n). Manipulators are arguments too.
template <class... Parts>
std::string str_cat(const Parts&... parts) {
  const TextPart all[] = {parts...};
  return joined(all, TextPart::Strings::exact);
}

// Throws an Error whose sentence is str_cat() of the parts, strings shown as visible() does.
template <class... Parts>
[[noreturn]] void fail(ErrorCode code, const Parts&... parts) {
  const TextPart all[] = {parts...};
  fail_with(code, all);
}

}  // namespace atrous
