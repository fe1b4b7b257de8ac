// What a model file says beside its tensors: classes, colours, preprocessing, origin and a self-test. It
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

namespace atrous {

using Colour = std::array<std::uint8_t, 3>;  // red, green, blue
using Palette = std::vector<Colour>;         // by class index

// How a photo becomes the network's input size. One of `kind`, then optionally a centre crop.
struct ResizeRule {
  enum class Kind {
    none,          // leave it
    shorter_side,  // the shorter side becomes `width`; the longer one int(width * long / short)
    exact,         // width x height
  };
  Kind kind = Kind::shorter_side;
  int width = 520, height = 0;
  int center_crop = 0;  // side of the square cut from the middle, zero-padded if need be; 0: no crop
  bool operator==(const ResizeRule&) const = default;
};

// Which colour the network's channel 0 is.
enum class ChannelOrder { rgb, bgr };

// A photo's way in: Pillow's antialiased bilinear resize; then every sample, 0 to 255, becomes
// (sample * range / 255 - mean) / std. Mean and std are in the range's scale and the order's channels.
// torchvision's are the defaults; networks from Caffe take range 255, order bgr, mean 104.008, 116.669,
// 122.675 and std 1.
struct Preprocessing {
  ResizeRule resize = {};
  std::array<float, 3> mean{0.485f, 0.456f, 0.406f};
  std::array<float, 3> std{0.229f, 0.224f, 0.225f};
  int range = 1;  // what 255 becomes before mean and std: 1 or 255
  ChannelOrder order = ChannelOrder::rgb;
  bool operator==(const Preprocessing&) const = default;
};
std::string_view name_of(ChannelOrder);  // "rgb", "bgr"

// How a pixel's logits become its class.
enum class Answer {
  softmax,  // one logit a class: the largest
  sigmoid,  // binary networks: one logit, class 1 where its sigmoid is above a threshold, class 0 elsewhere
};
std::string_view name_of(Answer);  // "softmax", "sigmoid"

constexpr int no_background = -1;  // where a class is asked for and none is the background

// The network run on self_test_input(height, width) gives, at the listed places of the low-resolution logits,
// the listed values, within `tolerance` times the largest absolute logit.
struct SelfTest {
  int height = 0, width = 0;
  std::vector<std::int64_t> indices;  // flat, in NCHW order of the low-resolution logits
  std::vector<float> values;
  float largest = 0;  // the largest absolute logit
  float tolerance = 1e-4f;
  bool operator==(const SelfTest&) const = default;
};

struct Metadata {
  std::string architecture;  // "deeplabv3_resnet101"; empty when unknown
  std::string hyper;         // what the weights do not say, as given: "os=16" (layers/networks/hyper.h)
  std::vector<std::string> classes;  // by index
  Palette palette;                   // as many as classes, or empty
  Preprocessing preprocessing;
  std::optional<Answer> answer;   // empty where the file does not say
  std::optional<int> background;  // a class or no_background; empty where the file does not say
  std::string source;             // file name of the checkpoint this was converted from, without folders
  std::string source_sha256;      // 64 hex digits
  std::optional<SelfTest> self_test;
};

// Keys: "atrous.format", "architecture", "hyper" ("os=16"), "classes", "palette", "mean", "std", "range"
// ("1", "255"), "order"
// ("rgb", "bgr"), "resize", "answer" ("softmax", "sigmoid"), "background" (a class's index or "none"),
// "source", "source_sha256", "self_test". Hyper, range and order are written where they are not empty, 1 and
// rgb, and make the format "2"; without them it is "1", which older programs read too. Floats are written
// with 9 significant digits, so they come back to the bit. Refuses what metadata_from_strings() would refuse.
std::map<std::string, std::string> to_strings(const Metadata&);

// The inverse. Foreign keys (such as "format": "pt") are ignored; without "atrous.format" the result is empty
// optional. Error(malformed): a newer format version, a value that does not parse, a string over 256 bytes
// (names) or with control characters, mean or std not three finite numbers, std not positive, range neither 1
// nor 255, an order that is neither rgb nor bgr, palette not as long as classes, more than 256 classes, an
// answer that is neither softmax nor sigmoid, a background that is none of the classes, sizes outside
// 1..16384.
std::optional<Metadata> metadata_from_strings(const std::map<std::string, std::string>&);

}  // namespace atrous
