// Models by a word, as people ask for them.
//
//   default          the network compiled into the library
//   voc              the second one, where there is one (weights_tools/default_model.h)
//   seeded:NETWORK   random weights of a network of the families' (weights_tools/seeded.h)
//   anything else    a file, found by the caller: a path, or a name that it knows
//
// A file that is called like a model is meant by its path, ./default.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>

#include "layers/base/public.h"
#include "runtime/segment/model.h"

namespace ATROUS_PUBLIC atrous {

bool names_default_model(const std::string&);
// The file compiled into the library under that name; empty for other names. Error(unsupported) for the
// default where there is none.
std::span<const std::byte> built_in_model(const std::string& name);
bool names_seeded_model(const std::string&);
StateDict seeded_model_state(const std::string& name);  // of a name that names_seeded_model()

// `path_of` gives the file of a word that is none of the first three. Errors as load_default_model(),
// seeded_state(), make_model() and load_model(); Error(invalid_argument) for the prefix of a network among
// random weights, which have none.
Model load_named_model(const std::string& name, const ModelOptions&,
                       const std::function<std::string(const std::string&)>& path_of);

}  // namespace atrous
