#include <new>

#include "runtime/c/handles.h"
#include "runtime/engine/version.h"

namespace atrous::c {

namespace {

thread_local std::string kept_sentence;
thread_local const char* last_sentence = "";

atrous_status keep(atrous_status status, const char* sentence) noexcept {
  try {
    kept_sentence = sentence;
    last_sentence = kept_sentence.c_str();
  } catch (...) {
    last_sentence = "out of memory, for this sentence too";
  }
  return status;
}

// In the order of ErrorCode.
constexpr atrous_status status_of[] = {ATROUS_INVALID_ARGUMENT, ATROUS_IO,    ATROUS_MALFORMED,
                                       ATROUS_UNSUPPORTED,      ATROUS_LIMIT, ATROUS_MISMATCH,
                                       ATROUS_NOT_FINITE,       ATROUS_DEVICE};
static_assert(static_cast<int>(ErrorCode::device) == 7);

}  // namespace

atrous_status keep_failure() noexcept {
  try {
    rethrow_as_error();
  } catch (const Stopped& stopped) {
    return keep(ATROUS_STOPPED, stopped.sentence.c_str());
  } catch (const Error& error) {
    return keep(status_of[static_cast<int>(error.code())], error.what());
  } catch (...) {
    return keep(ATROUS_INVALID_ARGUMENT, "an exception that is none of the library's");
  }
}

void refuse_size(const char* name, std::size_t size, std::size_t known) {
  if (size < known || size > largest_struct)
    fail(ErrorCode::invalid_argument, name, ": its size is ", size, ", expected sizeof(", name, "), ", known);
  fail(ErrorCode::invalid_argument, name, ": of its ", size,
       " bytes some are set that this version of the library, ", atrous_version(), ", does not know");
}

}  // namespace atrous::c

extern "C" {

const char* atrous_version(void) { return atrous::version(); }

const char* atrous_last_error(void) { return atrous::c::last_sentence; }

const char* atrous_status_name(int status) {
  switch (status) {
    case ATROUS_OK:
      return "ok";
    case ATROUS_INVALID_ARGUMENT:
      return "invalid_argument";
    case ATROUS_IO:
      return "io";
    case ATROUS_MALFORMED:
      return "malformed";
    case ATROUS_UNSUPPORTED:
      return "unsupported";
    case ATROUS_LIMIT:
      return "limit";
    case ATROUS_MISMATCH:
      return "mismatch";
    case ATROUS_NOT_FINITE:
      return "not_finite";
    case ATROUS_DEVICE:
      return "device";
    case ATROUS_STOPPED:
      return "stopped";
  }
  return "unknown";
}

}  // extern "C"
