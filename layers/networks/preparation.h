// How a photo becomes a network's input, and how its logits become labels: what a publisher's code does
// around the network. Plain data, filled by a family, overridden by a file's metadata or the user, and read
// by the code for pictures (runtime/image) and the engine, none of which know a network.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "layers/base/public.h"
#include "layers/base/tensor.h"
#include "layers/ops/resize.h"

namespace ATROUS_PUBLIC atrous {

// How a photo becomes the network's input size. One of `kind`, then optionally a centre crop.
struct ResizeRule {
  enum class Kind {
    none,          // leave it
    shorter_side,  // the shorter side becomes `width`; the longer one int(width * long / short)
    exact,         // width x height
    longer_side,   // the longer side becomes `width`; the shorter one int(width * short / long + 1/2)
  };
  Kind kind = Kind::shorter_side;
  int width = 520, height = 0;
  int center_crop = 0;  // side of the square cut from the middle, zero-padded if need be; 0: no crop
  bool operator==(const ResizeRule&) const = default;
};

// Which colour the network's channel 0 is.
enum class ChannelOrder { rgb, bgr };
std::string_view name_of(ChannelOrder);  // "rgb", "bgr"

// A photo's way in: Pillow's antialiased bilinear resize; then every sample, 0 to 255, becomes
// (sample * range / 255 - mean) / std. Mean and std are in the range's scale and the order's channels.
// torchvision's are the defaults; networks from Caffe take caffe_preparation.
struct Preparation {
  ResizeRule resize = {};
  std::array<float, 3> mean{0.485f, 0.456f, 0.406f};
  std::array<float, 3> std{0.229f, 0.224f, 0.225f};
  int range = 1;  // what 255 becomes before mean and std: 1 or 255
  ChannelOrder order = ChannelOrder::rgb;
  bool operator==(const Preparation&) const = default;
};

// BGR of 0 to 255 minus the mean colour of ImageNet, photos at their own size.
constexpr Preparation caffe_preparation{.resize = {.kind = ResizeRule::Kind::none},
                                        .mean = {104.00698793f, 116.66876762f, 122.67891434f},
                                        .std = {1, 1, 1},
                                        .range = 255,
                                        .order = ChannelOrder::bgr};

// Sizes that a network can take: multiple * k + beyond with a whole k, and no less than `least`. Other inputs
// are padded at the right and the bottom, by zeros behind normalisation, and the logits cropped back.
struct Padding {
  int multiple = 1, beyond = 0, least = 1;
  bool operator==(const Padding&) const = default;
};
std::int64_t padded_size(const Padding&, std::int64_t size);  // Error(limit) on overflow
Shape padded_shape(const Padding&, const Shape&);             // of height and width

// A dense CRF behind the network (runtime/segment/dense_crf.h): the weights of its two kernels, their
// standard deviations in pixels and in levels of colour, 0..255, and how often pixels hear of each other. A
// weight of 0 leaves a kernel out. Published for DeepLabV2 (kazuto1011/deeplab-pytorch, every configuration).
struct CrfParameters {
  struct Gaussian {
    float weight = 3, xy = 1;
    bool operator==(const Gaussian&) const = default;
  };
  struct Bilateral {
    float weight = 4, xy = 67, rgb = 3;
    bool operator==(const Bilateral&) const = default;
  };
  int iterations = 10;
  Gaussian gaussian = {};
  Bilateral bilateral = {};
  bool operator==(const CrfParameters&) const = default;
};
// Error(invalid_argument) unless iterations are 0 to 1000, weights finite, deviations 0.01 to 1000000.
void check(const CrfParameters&);

// How a pixel's logits become its class.
enum class Decision {
  softmax,  // one logit a class: the largest
  sigmoid,  // binary networks: one logit, class 1 where its sigmoid is above a threshold, class 0 elsewhere
};
std::string_view name_of(Decision);  // "softmax", "sigmoid"

// From low-resolution logits to labels: they grow to the input's size by bilinear interpolation
// (layers/ops/resize.h), then the decision is taken.
struct Answer {
  Decision decision = Decision::softmax;
  bool align_corners = false;
  std::optional<CrfParameters> crf =
      {};  // published for the network or said by its file, taken where asked for
  bool operator==(const Answer&) const = default;
};

// The growth that gives height x width pixels for the `seen` part of a `padded` input.
Growth growth_of(const Answer&, const Shape& seen, const Shape& padded, std::int64_t height,
                 std::int64_t width);

}  // namespace atrous
