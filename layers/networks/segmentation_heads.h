// What turns a backbone's features into logits: FCNHead, DeepLabHead and LRASPPHead, as torchvision builds
// them.
#pragma once

#include <array>
#include <cstdint>

#include "layers/graph/builder.h"

namespace atrous {

// FCNHead (Long, Shelhamer & Darrell 2015): 3x3 convolution to a quarter of the channels, batch norm, relu,
// 1x1 convolution to the classes. (Dropout, index 3, does nothing in inference.) Keys 0, 1, 4.
// torchvision/models/segmentation/fcn.py.
Var fcn_head(Module, Var x);

// The dilations of ASPP's branches 1 to 3.
constexpr std::array<std::int64_t, 3> aspp_rates{12, 24, 36};

// ASPP, atrous spatial pyramid pooling (Chen et al. 2017, "Rethinking Atrous Convolution", section 3.3): the
// same map seen by five branches side by side,
//   convs.0      1x1 convolution
//   convs.1..3   3x3 convolutions with dilations aspp_rates
//   convs.4      the global mean, 1x1 convolution, spread back over the map
// each with batch norm and relu, then concatenated and projected by a 1x1 convolution. Keys convs.0..4,
// project. torchvision/models/segmentation/deeplabv3.py.
Var aspp(Module, Var x);

// DeepLabHead: ASPP, 3x3 convolution, batch norm, relu, 1x1 convolution to the classes. Keys 0 (the ASPP), 1,
// 2, 4.
Var deeplab_head(Module, Var x);

// LRASPPHead, lite reduced ASPP (Howard et al. 2019, "Searching for MobileNetV3", section 6.4). The
// high-level map is reduced by a 1x1 convolution with batch norm and relu (cbr) and gated by its own global
// mean through a 1x1 convolution and a sigmoid (scale); the result grows to the size of the low-level map,
// and the classes are the sum of a 1x1 convolution of each (low_classifier, high_classifier). Keys cbr.0,
// cbr.1, scale.1, low_classifier, high_classifier. torchvision/models/segmentation/lraspp.py.
Var lraspp_head(Module, Var low, Var high);

}  // namespace atrous
