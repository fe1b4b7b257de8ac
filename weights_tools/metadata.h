// What a model file says beside its tensors: classes, colours, preparation, origin and a self-test. It
// travels in the `__metadata__` of a .safetensors file, where every value is a string; the structured ones
// are JSON inside it.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "layers/base/public.h"
#include "layers/base/quantisation.h"
#include "layers/networks/preparation.h"

namespace ATROUS_PUBLIC atrous {

using Colour = std::array<std::uint8_t, 3>;  // red, green, blue
using Palette = std::vector<Colour>;         // by class index

constexpr int no_background = -1;  // where a class is asked for and none is the background

// One of the low-resolution logits.
struct ExpectedLogit {
  std::int64_t index = 0;  // flat, in NCHW order
  float value = 0;
  bool operator==(const ExpectedLogit&) const = default;
};

// The network run on self_test_input(height, width) gives these logits, within `tolerance` times the largest
// absolute one.
struct SelfTest {
  int height = 0, width = 0;
  std::vector<ExpectedLogit> logits;
  float largest = 0;  // the largest absolute logit
  float tolerance = 1e-4f;
  bool operator==(const SelfTest&) const = default;
};

struct Metadata {
  std::string architecture;  // "deeplabv3_resnet101"; empty when unknown
  std::string hyper;         // what the weights do not say, as given: "os=16" (layers/networks/hyper.h)
  std::vector<std::string> classes;  // by index
  Palette palette;                   // as many as classes, or empty
  Preparation preparation;
  std::optional<Decision> decision;   // empty where the file does not say
  std::optional<bool> align_corners;  // likewise
  std::optional<CrfParameters> crf;   // likewise: with which a dense CRF sharpens its labels best
  std::optional<int> background;      // a class or no_background; empty where the file does not say
  std::string source;                 // file name of the checkpoint this was converted from, without folders
  std::string source_sha256;          // 64 hex digits
  std::optional<SelfTest> self_test;
  // Of a network quantised to 8 bits, what its maps lie between: by the names of the layers that make them.
  std::map<std::string, ValueRange> activations;
};

// Keys: "atrous.format", "architecture", "hyper" ("os=16"), "classes", "palette", "mean", "std", "range"
// ("1", "255"), "order"
// ("rgb", "bgr"), "resize", "answer" ("softmax", "sigmoid"), "align_corners" ("true", "false"), "crf"
// ({"iterations": 10, "gaussian": [weight, xy], "bilateral": [weight, xy, rgb]}), "background"
// (a class's index or "none"), "source", "source_sha256", "self_test", "activations"
// ({"layer": [lowest, highest]}). Hyper, range and order are written where they are not empty, 1 and rgb, and
// make the format "2", activations "3"; without them it is "1", which older programs read too. Floats are
// written with 9 significant digits, so they come back to the bit. Refuses what metadata_from_strings() would
// refuse.
std::map<std::string, std::string> to_strings(const Metadata&);

// The inverse. Foreign keys (such as "format": "pt") are ignored; without "atrous.format" the result is empty
// optional. Error(malformed): a newer format version, a value that does not parse, a string over 256 bytes
// (names) or with control characters, mean or std not three finite numbers, std not positive, range neither 1
// nor 255, an order that is neither rgb nor bgr, palette not as long as classes, more than 256 classes, an
// answer that is neither softmax nor sigmoid, parameters of a CRF that check() refuses, a background that is
// none of the classes, sizes outside 1..16384, a range of an activation that does not go from a number to no
// smaller one, more than 1000 of them.
std::optional<Metadata> metadata_from_strings(const std::map<std::string, std::string>&);

}  // namespace atrous
