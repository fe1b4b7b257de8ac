// ResNet, as torchvision builds it for segmentation: no final pooling, no fc, layers 3 and 4 dilated.
//
// He, Zhang, Ren & Sun 2016, "Deep Residual Learning for Image Recognition"; torchvision/models/resnet.py
// (v1.5: the stride sits in the 3x3 convolution). Depth and width come from the checkpoint: as many blocks as
// it has keys for, as many channels as its weights have.
#pragma once

#include "layers/graph/builder.h"

namespace atrous {

// 1x1 reduce, 3x3 (with the stride and the dilation), 1x1 expand, each with its batch norm; plus the
// identity, which passes through `downsample` where the shape changes. Keys conv1..3, bn1..3, downsample.0,
// downsample.1.
Var bottleneck(Module, Var x, std::int64_t stride, std::int64_t dilation);

// Two 3x3 convolutions (ResNet-18 and -34). torchvision gives it no dilation. Keys conv1..2, bn1..2,
// downsample.0..1.
Var basic_block(Module, Var x, std::int64_t stride);

struct ResnetFeatures {
  Var layer3, layer4;          // the auxiliary head reads layer3
  std::int64_t output_stride;  // of layer4: 8 with Bottlenecks, 32 with BasicBlocks
};

// conv1 7x7/2, bn1, relu, max pool 3x3/2, layer1..4.
// Bottlenecks: replace_stride_with_dilation = [False, True, True], so layer3 and layer4 keep stride 1 with
// dilations 2 and 4, but the first block of each still has the dilation of the layer before (1 and 2).
ResnetFeatures resnet(Module, Var x);

// "resnet50" for the published depths, else "resnet(2,2,3,2)".
std::string resnet_name(Module);

}  // namespace atrous
