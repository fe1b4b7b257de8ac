#include "layers/ops/expand_depthwise.h"

#include "layers/base/checked.h"

namespace atrous {

void expand_depthwise_reference(const ExpandDepthwise& layer, ConstView in, View out) {
  Tensor wide(output_shape(layer.expand, in.shape));
  conv2d_reference(layer.expand, in, nullptr, wide.view());
  conv2d_reference(layer.depthwise, wide.view(), nullptr, out);
}

Shape output_shape(const ExpandDepthwise& layer, const Shape& in) {
  return output_shape(layer.depthwise, output_shape(layer.expand, in));
}

std::int64_t macs(const ExpandDepthwise& layer, const Shape& in) {
  return checked_add(macs(layer.expand, in), macs(layer.depthwise, output_shape(layer.expand, in)),
                     "expand_depthwise: multiply-accumulates");
}

Shape ExpandDepthwise::output_shape(Shapes in) const { return atrous::output_shape(*this, in[0]); }

void ExpandDepthwise::run_reference(Views in, View out) const {
  expand_depthwise_reference(*this, in[0], out);
}

std::int64_t ExpandDepthwise::macs(Shapes in) const { return atrous::macs(*this, in[0]); }

}  // namespace atrous
