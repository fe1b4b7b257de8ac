// JSON on its way out of the program.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "layers/base/visible_text.h"

namespace atrous::cli {

// Indented, with a newline at its end. What a terminal would obey is escaped as JSON escapes, so that the
// values stay exact; bytes of a file's name that are no UTF-8, which JSON cannot hold, become U+FFFD.
inline std::string json_output(const nlohmann::ordered_json& json) {
  return visible(json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace), Newlines::kept) +
         '\n';
}

}  // namespace atrous::cli
