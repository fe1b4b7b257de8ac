#include "layers/networks/segmentation_heads.h"

namespace atrous {

Var fcn_head(Module m, Var x) {
  x = relu(batch_norm(m[1], conv2d(m[0], x, {.kernel = 3})));
  return conv2d(m[4], x, {.bias = true});
}

namespace {

Var aspp_conv(Module m, Var x, std::int64_t dilation) {
  return relu(batch_norm(m[1], conv2d(m[0], x, {.kernel = 3, .dilation = dilation})));
}

Var aspp_pooling(Module m, Var x) {
  Var pooled = adaptive_avg_pool2d(m[0].path(), x, {.out_h = 1, .out_w = 1});
  pooled = relu(batch_norm(m[2], conv2d(m[1], pooled)));
  return resize_like(m.path() + ".resize", pooled, x, {.mode = ResizeMode::bilinear, .align_corners = false});
}

}  // namespace

Var aspp(Module m, Var x) {
  const Module convs = m["convs"], project = m["project"];
  const Var branches = concat(convs.path() + ".concat",
                              {relu(batch_norm(convs[0][1], conv2d(convs[0][0], x))),
                               aspp_conv(convs[1], x, aspp_rates[0]), aspp_conv(convs[2], x, aspp_rates[1]),
                               aspp_conv(convs[3], x, aspp_rates[2]), aspp_pooling(convs[4], x)});
  return relu(batch_norm(project[1], conv2d(project[0], branches)));
}

Var deeplab_head(Module m, Var x) {
  x = aspp(m[0], x);
  x = relu(batch_norm(m[2], conv2d(m[1], x, {.kernel = 3})));
  return conv2d(m[4], x, {.bias = true});
}

Var lraspp_head(Module m, Var low, Var high) {
  const Module cbr = m["cbr"], scale = m["scale"];
  Var x = relu(batch_norm(cbr[1], conv2d(cbr[0], high)));
  const Var mean = adaptive_avg_pool2d(scale[0].path(), high, {.out_h = 1, .out_w = 1});
  x = mul(x, activation(conv2d(scale[1], mean), ActivationKind::sigmoid));
  x = resize_like(m.path() + ".resize", x, low, {.mode = ResizeMode::bilinear, .align_corners = false});
  return add(conv2d(m["low_classifier"], low, {.bias = true}),
             conv2d(m["high_classifier"], x, {.bias = true}));
}

}  // namespace atrous
