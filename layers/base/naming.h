// Context for errors: what a step was about, put before the sentence of its failure.
#pragma once

#include <optional>

#include "layers/base/error.h"

namespace atrous {

// Runs a step. An Error of it becomes one of the same code, its sentence "WHAT: SENTENCE"; errors of the code
// `named` pass as they are, since their sentences say already what they are about. What stands in the
// sentence as fail() shows it.
template <class What, class Step>
auto naming(const What& what, Step&& step, std::optional<ErrorCode> named = {}) {
  try {
    return step();
  } catch (const Error& error) {
    if (error.code() == named) throw;
    fail(error.code(), what, ": ", error.what());
  }
}

}  // namespace atrous
