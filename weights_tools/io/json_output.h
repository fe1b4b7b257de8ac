// JSON on its way out of the program.
#pragma once

#include <string>

#include "layers/base/visible_text.h"
#include "weights_tools/io/json.h"

namespace atrous {

// Indented, with a newline at its end. What a terminal would obey is escaped as JSON escapes, so that the
// values stay exact; bytes of a file's name that are no UTF-8, which JSON cannot hold, became U+FFFD.
inline std::string json_output(const JsonText& json) {
  return visible(indented(json), Newlines::kept) + '\n';
}

}  // namespace atrous
