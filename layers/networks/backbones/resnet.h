// ResNet, as torchvision builds it for segmentation: no final pooling, no fc, the last stages dilated instead
// of strided.
//
// He, Zhang, Ren & Sun 2016, "Deep Residual Learning for Image Recognition"; torchvision/models/resnet.py
// (v1.5: the stride sits in the 3x3 convolution).
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "layers/graph/builder.h"

namespace atrous {

// Depth and kind of block. The width comes from the weights.
struct Resnet {
  bool bottlenecks = true;  // else BasicBlocks
  std::array<int, 4> blocks{};
  bool operator==(const Resnet&) const = default;
};

// What the names say: as many blocks as there are keys for, numbered from 0 without gaps.
Resnet resnet_of(const StateDict&, const std::string& module);

// "resnet50" for the published depths, where the stem is as wide as published; else "resnet(2,2,3,2)".
std::string name_of(const Resnet&, std::int64_t stem_channels);

// The same of a ResNet under `module`, whose first convolution has the weight `stem`, conv1.weight unless
// said.
std::string resnet_name(const StateDict&, const std::string& module, std::string_view stem = {});

// The inverse; nothing for other names. Blocks in brackets are Bottlenecks, 1 to 100 a stage.
std::optional<Resnet> resnet_by_name(std::string_view);

// Of a module that is being built: what the names of its keys say; without a state dict, what `name` says.
// Error(invalid_argument) for a name that is none.
Resnet resnet_in(const Module&, std::string_view name);

// How a stage is spaced. In torchvision's dilated stages the first block keeps the dilation of the stage
// before. A multi-grid (Chen et al. 2017, "Rethinking Atrous Convolution", section 3.2.1) is what the blocks'
// dilations are times, in turn.
struct Spacing {
  std::int64_t stride = 1, first_dilation = 1, dilation = 1;
  std::array<std::int64_t, 3> grid{1, 1, 1};
};
using Spacings = std::array<Spacing, 4>;

// torchvision's replace_stride_with_dilation: 8 is [False, True, True], 16 is [False, False, True], 32 all
// False. BasicBlocks are never dilated: they have 32 only.
Spacings torchvision_spacings(std::int64_t output_stride);

// 1x1 reduce, 3x3 (with the stride and the dilation), 1x1 expand, each with its batch norm; plus the
// identity, which passes through `downsample` where the shape changes. Keys conv1..3, bn1..3, downsample.0,
// downsample.1. `planes`: the channels in between, as published; four times as many come out.
Var bottleneck(Module, Var x, std::int64_t planes, std::int64_t stride, std::int64_t dilation);

// Two 3x3 convolutions (ResNet-18 and -34), both dilated where the publisher does that (torchvision does
// not). Keys conv1..2, bn1..2, downsample.0..1.
Var basic_block(Module, Var x, std::int64_t planes, std::int64_t stride, std::int64_t dilation = 1);

// Blocks 0, 1, ... one behind the other.
Var resnet_stage(Module, Var x, bool bottlenecks, int blocks, std::int64_t planes, const Spacing&);

struct ResnetFeatures {
  Var stem;                   // conv1 7x7/2, bn1, relu: half the size
  std::array<Var, 4> layers;  // after max pool 3x3/2, layer1 to layer4
};
ResnetFeatures resnet(Module, Var x, const Resnet&, const Spacings&);

// A stem of three 3x3 convolutions, 64, 64 and 128 channels, in place of the 7x7 one; half the size. He et
// al. 2019, "Bag of Tricks", ResNet-C. Keys 0 and 1, 3 and 4, 6 and the last norm, which publishers put
// elsewhere.
Var deep_stem(Module, Module last_norm, Var x);

// What follows a stem: max pool, layer1 to layer4.
ResnetFeatures resnet_behind(Module, Var stem, const Resnet&, const Spacings&);

}  // namespace atrous
