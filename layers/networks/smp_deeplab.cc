#include "layers/networks/smp_deeplab.h"

namespace atrous::networks {

Var smp_conv3x3(Module m, Var x, const ConvOptions& options, bool separable) {
  if (!m.has("0", separable)) return conv2d(m, x, options);
  ConvOptions depthwise = options;
  depthwise.out = x.channels();
  depthwise.depthwise = true;
  return conv2d(m[1], conv2d(m[0], x, depthwise), {.out = options.out});
}

Var smp_aspp(Module m, Var x, Hyper& hyper, bool separable) {
  Aspp pyramid = torchvision_aspp(m);
  pyramid.separable = separable;
  pyramid.conv3x3 = smp_conv3x3;
  return aspp(pyramid, x, hyper.integers("rates", {12, 24, 36}));
}

}  // namespace atrous::networks
