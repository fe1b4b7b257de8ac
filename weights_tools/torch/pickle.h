// Python pickles as data: the few values a torch checkpoint is made of, and nothing that could run.
//
// Format: the opcodes as CPython's Lib/pickletools.py documents them, protocols 2 to 5; what torch.save
// writes (torch/serialization.py) is protocol 2. The pickle machine pushes values on a stack, remembers some
// in a memo and calls Python functions by name. Here nothing is called; a few names have a meaning:
//   collections.OrderedDict                                      becomes a dict
//   torch._utils._rebuild_tensor, _rebuild_tensor_v2, _rebuild_parameter   become calls
//   torch.*Storage                                               become globals, arguments of persistent ids
// Any other name is an opaque value, and so is whatever the pickle makes of one: checkpoints hold numbers of
// numpy, paths, dates and objects of their authors' own classes beside the weights. An opaque value keeps its
// name and the state that the pickle gives it, and has no other use.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weights_tools/io/file.h"

namespace atrous {

enum class PickleKind : std::uint8_t {
  none,
  boolean,        // integer is 0 or 1
  integer,        // integer
  real,           // without its value: no tensor is made of floats in the pickle
  long_integer,   // beyond 64 bits, without its value
  string,         // text; UTF-8 is not checked
  bytes,          // text
  tuple,          // items
  list,           // items
  dict,           // items: key, value, key, value, ...; a key may appear twice
  ordered_dict,   // the same, of an OrderedDict
  set,            // items
  global,         // callable; module and text are its name: "torch" and "FloatStorage"
  call,           // callable, and items: the tuple of its arguments
  persistent_id,  // items: the one value that torch gives as an id, see torch_tensors.h
  opaque,  // module and text: the class or function it was made of; state; items: key, value, ... set on it
};
std::string_view name_of(PickleKind);  // "a tuple", for sentences

enum class PickleCallable : std::uint8_t {
  ordered_dict,
  rebuild_tensor,
  rebuild_tensor_v2,
  rebuild_parameter,
  storage,
  other
};

// An index into Pickle::nodes. Values that the pickle shares are shared here too, never copied.
using PickleRef = std::uint32_t;
constexpr PickleRef no_pickle_ref = ~PickleRef{0};

// Where a string stands in Pickle::bytes.
struct PickleText {
  std::uint32_t offset = 0, length = 0;
};

struct PickleNode {
  PickleKind kind = PickleKind::none;
  PickleCallable callable = PickleCallable::ordered_dict;
  // What BUILD gave an opaque value last, before that the first argument that it was made with.
  PickleRef state = no_pickle_ref;
  std::int64_t integer = 0;  // of a global or an opaque value: the bits of `module`
  PickleText text{};
  std::vector<PickleRef> items{};

  // Kept in place of the integer, so that a node is no larger: there may be one for every byte of a file.
  PickleText module() const { return std::bit_cast<PickleText>(integer); }
};

bool is_dict(const PickleNode&);  // an ordered one, too

// A pickle's values. From `root` down, and from what an opaque value holds, they are a graph without cycles
// and at most pickle_depth_limit deep, as far as the next opaque value: such may hold each other in turn.
struct Pickle {
  std::vector<std::byte> bytes;  // as far as they were read
  std::deque<PickleNode> nodes;  // in pieces: a vector would hold three times as much while it grows
  PickleRef root = 0;
  std::uint64_t size = 0;  // bytes up to and including STOP

  const PickleNode& at(PickleRef ref) const { return nodes[ref]; }
  std::string_view text(const PickleNode&) const;
  std::string_view module_name(const PickleNode&) const;  // of a global or an opaque value
  // For sentences: "a list", "a value of numpy.ndarray", which no control character is part of.
  std::string describe(const PickleNode&) const;
};

constexpr std::uint64_t pickle_byte_limit = std::uint64_t{16} << 20;
constexpr std::uint64_t pickle_opcode_limit = 1'000'000;
constexpr std::uint32_t pickle_depth_limit = 1'000;

// Reads the pickle at the front of `bytes`. Error(malformed): unknown opcode, stack underflow, missing MARK
// or STOP, memo read before it is written, lengths beyond the end, values of the wrong kind, self-reference.
// Error(unsupported): an opcode that torch does not write. Error(limit): one of the limits, or a memo index
// that no writer could have reached.
Pickle read_pickle(std::vector<std::byte> bytes);

// The same for the pickle that begins at `offset` of a file, reading hardly further than its end.
Pickle read_pickle(const InputFile&, std::uint64_t offset);

}  // namespace atrous
