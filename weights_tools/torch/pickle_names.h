// The names under which the values of a pickle stand: keys of dictionaries in each other, joined by dots.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "weights_tools/torch/pickle.h"

namespace atrous {

struct PickleName {
  PickleText text;  // in PickleNames::text
  std::uint32_t container =
      0;  // the length of the name's front that is its dictionary's or model's, with a dot
  PickleRef value = 0;
};

struct PickleNames {
  std::string text;
  std::vector<PickleName> all;

  std::string_view of(const PickleName& name) const {
    return std::string_view(text).substr(name.text.offset, name.text.length);
  }
};

// Every tensor, in whatever dictionaries, lists and objects of the pickle, and what else has a string for a
// key in a dictionary and no tensor in it: numbers, strings, opaque values.
//   dict, OrderedDict, what the pickle sets on an object (defaultdict)   names are keys
//   list, tuple                                                          names are indices; tensors only
//   torch.nn.Module: an object with _parameters, _buffers and _modules   names as state_dict() makes them:
//       its parameters and persistent buffers that are not None, then its modules, in their order
//   other objects, those of TorchScript among them                       names are attributes; tensors only
// A dictionary, list or object that is there twice is looked into once, a module as often as it is named.
// A key over 1024 bytes, too long for a state dict, is cut one byte beyond. Error(limit): modules within
// modules that make more entries than a pickle may have opcodes, names longer together than 16 times the
// pickle.
PickleNames names_in(const Pickle&);

}  // namespace atrous
