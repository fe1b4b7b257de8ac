#include "layers/networks/conv_norm.h"

namespace atrous::networks {

Var conv_norm_relu(const ConvNorm& m, Var x, const ConvOptions& options) {
  return relu(batch_norm(m.norm, conv2d(m.conv, x, options)));
}

}  // namespace atrous::networks
