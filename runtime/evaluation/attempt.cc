#include "runtime/evaluation/attempt.h"

#include <new>

#include "layers/base/error.h"

namespace atrous {

std::string failure_sentence(const std::exception_ptr& error, const std::string& photo) {
  try {
    std::rethrow_exception(error);
  } catch (const OutOfMemory& e) {
    return photo + ": " + e.what();
  } catch (const Error& e) {
    if (e.code() == ErrorCode::device || e.code() == ErrorCode::not_finite) throw;
    return e.what();
  } catch (const std::bad_alloc&) {
    return photo + ": out of memory";
  } catch (const std::exception& e) {
    return e.what();
  }
}

}  // namespace atrous
