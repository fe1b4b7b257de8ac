// One image's steps in an evaluation: what goes wrong in one is kept until the image's turn to be counted.
#pragma once

#include <exception>
#include <string>

#include "layers/base/naming.h"

namespace atrous {

// Does one step of an image; after an error there are no more. Throws nothing, out of memory or not. `file`
// is named in errors; empty: they say already what they are about.
template <class Step>
void attempt(std::exception_ptr& error, const std::string& file, Step&& step) {
  if (error) return;
  try {
    if (file.empty())
      step();
    else
      naming(file, step);
  } catch (...) {
    error = std::current_exception();
  }
}

// What was wrong with an image that is left out. Rethrows errors of the device and of values that are not
// finite: no image after this one can fare better.
std::string failure_sentence(const std::exception_ptr& error, const std::string& photo);

}  // namespace atrous
