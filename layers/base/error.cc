#include "layers/base/error.h"

#include <algorithm>
#include <charconv>
#include <locale>
#include <new>
#include <sstream>
#include <string_view>
#include <system_error>

#include "layers/base/visible_text.h"

namespace atrous {

namespace {

bool is_out_of_threads(const std::system_error& error) {
  return error.code() == std::errc::resource_unavailable_try_again;
}

[[noreturn]] void rethrow_ours() {
  try {
    try {
      throw;
    } catch (const Error&) {
      throw;
    } catch (const std::length_error& error) {
      fail(ErrorCode::limit, "a size is beyond what memory holds: ", visible(error.what()));
    } catch (const std::system_error& error) {
      fail(is_out_of_threads(error) ? ErrorCode::limit : ErrorCode::io, visible(error.what()));
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception& error) {
      fail(ErrorCode::invalid_argument, visible(error.what()));
    }
  } catch (const std::bad_alloc&) {  // perhaps while the sentence was made
    throw OutOfMemory();
  }
}

}  // namespace

// The base's sentence is empty, since that takes no memory.
OutOfMemory::OutOfMemory(std::size_t bytes) noexcept : Error(ErrorCode::limit, {}), sentence_{} {
  char* to = sentence_.data();
  const auto put = [&](std::string_view part) { to = std::copy(part.begin(), part.end(), to); };
  put("out of memory");
  if (bytes == 0) return;
  put(": ");
  to = std::to_chars(to, sentence_.data() + sentence_.size(), bytes).ptr;
  put(" bytes asked for");
}

void rethrow_as_error() {
  try {
    throw;
  } catch (const FromHost& from_host) {
    std::rethrow_exception(from_host.exception);
  } catch (...) {
    rethrow_ours();
  }
}

void TextPart::put_string(std::ostream& out, std::string_view string, Strings strings) {
  if (strings == Strings::shown)
    out << visible(string);
  else
    out << string;
}

std::string joined(std::span<const TextPart> parts, TextPart::Strings strings) try {
  std::ostringstream out;
  out.imbue(std::locale::classic());
  out.exceptions(std::ios::badbit);  // without it a stream that runs out of memory cuts the text short
  for (const TextPart& part : parts) part.put(out, strings);
  return std::move(out).str();
} catch (...) {
  rethrow_as_error();
}

void fail_with(ErrorCode code, std::span<const TextPart> parts) try {
  throw Error(code, joined(parts, TextPart::Strings::shown));
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
