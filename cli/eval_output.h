// What an evaluation found, for people (tables) and for their spreadsheets (CSV). For programs:
// runtime/evaluation/evaluation_json.h.
#pragma once

#include <string>

#include "runtime/evaluation/evaluation.h"

namespace atrous::cli {

std::string evaluation_table(const Evaluation&);
std::string classes_csv(const Evaluation&);  // a row per class, its columns named as in the JSON
std::string images_csv(const Evaluation&);   // a row per image, then those that failed

}  // namespace atrous::cli
