// Python pickles as data: the few values a torch checkpoint is made of, and nothing that could run.
//
// Format: the opcodes as CPython's Lib/pickletools.py documents them, protocols 2 to 5; what torch.save
// writes (torch/serialization.py) is protocol 2. The pickle machine pushes values on a stack, remembers some
// in a memo and calls Python functions by name. Here names come from a short list, and a call is only a node
// that lists its arguments:
//   collections.OrderedDict                                      becomes a dict
//   torch._utils._rebuild_tensor, _rebuild_tensor_v2, _rebuild_parameter   become calls
//   torch.*Storage                                               become globals, arguments of persistent ids
//   argparse.Namespace, which training scripts store beside the model      becomes an object without content
// Anything else is refused by name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string_view>
#include <vector>

#include "weights_tools/io/file.h"

namespace atrous {

enum class PickleKind : std::uint8_t {
  none,
  boolean,        // integer is 0 or 1
  integer,        // integer
  real,           // without its value: no tensor is made of floats in the pickle
  string,         // text; UTF-8 is not checked
  bytes,          // text
  tuple,          // items
  list,           // items
  dict,           // items: key, value, key, value, ...; a key may appear twice
  ordered_dict,   // the same, of an OrderedDict
  global,         // callable; for a storage type, text is its name: "FloatStorage"
  call,           // callable, and items: the tuple of its arguments
  persistent_id,  // items: the one value that torch gives as an id, see torch_tensors.h
  object,         // an argparse.Namespace, content dropped
};
std::string_view name_of(PickleKind);  // "a tuple", for sentences

enum class PickleCallable : std::uint8_t {
  ordered_dict,
  rebuild_tensor,
  rebuild_tensor_v2,
  rebuild_parameter,
  storage,
  name_space
};

// An index into Pickle::nodes. Values that the pickle shares are shared here too, never copied.
using PickleRef = std::uint32_t;

// Where a string stands in Pickle::bytes.
struct PickleText {
  std::uint32_t offset = 0, length = 0;
};

struct PickleNode {
  PickleKind kind = PickleKind::none;
  PickleCallable callable = PickleCallable::ordered_dict;
  std::int64_t integer = 0;
  PickleText text{};
  std::vector<PickleRef> items{};
};

// A pickle's values: a graph without cycles, at most pickle_depth_limit deep from `root` down.
struct Pickle {
  std::vector<std::byte> bytes;  // as far as they were read
  std::deque<PickleNode> nodes;  // in pieces: a vector would hold three times as much while it grows
  PickleRef root = 0;
  std::uint64_t size = 0;  // bytes up to and including STOP

  const PickleNode& at(PickleRef ref) const { return nodes[ref]; }
  std::string_view text(const PickleNode&) const;
};

constexpr std::uint64_t pickle_byte_limit = std::uint64_t{16} << 20;
constexpr std::uint64_t pickle_opcode_limit = 1'000'000;
constexpr std::uint32_t pickle_depth_limit = 1'000;

// Reads the pickle at the front of `bytes`. Error(malformed): unknown opcode, stack underflow, missing MARK
// or STOP, memo read before it is written, lengths beyond the end, values of the wrong kind, self-reference.
// Error(unsupported): a name or an opcode outside the list above, integers beyond 64 bits. Error(limit): one
// of the limits, or a memo index that no writer could have reached.
Pickle read_pickle(std::vector<std::byte> bytes);

// The same for the pickle that begins at `offset` of a file, reading hardly further than its end.
Pickle read_pickle(const InputFile&, std::uint64_t offset);

}  // namespace atrous
