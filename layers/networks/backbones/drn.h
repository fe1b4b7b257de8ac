// DRN-D, a dilated residual network: a ResNet whose last stages are dilated from the start, without max
// pooling, and with two plain convolutions at the end that even out the grid which dilation leaves.
//
// Yu, Koltun & Funkhouser 2017, "Dilated Residual Networks", figure 5; fyu/drn (drn.py, arch = "D"). Always
// at output stride 8.
#pragma once

#include "layers/graph/builder.h"

namespace atrous {

struct DrnFeatures {
  Var low;   // layer3: a quarter of the size, 256 channels
  Var last;  // layer8: an eighth, 512 channels
};

// DRN-D-54. Keys layer0 .. layer8: convolutions (0) with batch norm (1), and ResNet's bottlenecks in layer3
// to layer6.
DrnFeatures drn_d_54(Module, Var x);

}  // namespace atrous
