#include "layers/networks/backbones/xception.h"

#include <array>

#include "layers/base/error.h"

namespace atrous {

namespace {

struct Spacing {
  std::int64_t stride = 1, dilation = 1;
};

// Depthwise 3x3, batch norm, 1x1: no relu in between. Keys conv1, bn, pointwise.
Var separable_conv2d(Module m, Var x, std::int64_t out, const Spacing& spacing) {
  x = conv2d(m["conv1"], x,
             {.out = x.channels(),
              .kernel = 3,
              .stride = spacing.stride,
              .dilation = spacing.dilation,
              .depthwise = true});
  return conv2d(m["pointwise"], batch_norm(m["bn"], x), {.out = out});
}

struct Block {
  std::array<std::int64_t, 3> widths;    // of its separable convolutions
  std::array<Spacing, 3> spacings = {};  // likewise
  bool begins_rectified = true;          // with a relu, which its shortcut sees too
};

// Three times relu, separable convolution, batch norm; plus the shortcut, which passes through a 1x1
// convolution where the shape changes. Keys rep (the publisher counts the relus), skip, skipbn.
Var block(Module m, Var x, const Block& b) {
  const Module rep = m["rep"];
  if (b.begins_rectified) x = relu(x);
  Var out = x;
  std::int64_t stride = 1;
  for (int i = 0; i < 3; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const int index = 3 * i + b.begins_rectified;
    if (i > 0) out = relu(out);
    out = batch_norm(rep[index + 1],
                     separable_conv2d(rep[index], out, m.channels(b.widths[at]), b.spacings[at]));
    stride *= b.spacings[at].stride;
  }
  if (m.has("skip", stride != 1 || out.channels() != x.channels()))
    x = batch_norm(m["skipbn"], conv2d(m["skip"], x, {.out = out.channels(), .stride = stride}));
  return add(out, x);
}

}  // namespace

XceptionFeatures aligned_xception(Module m, Var x, std::int64_t output_stride) {
  const std::int64_t middle = output_stride == 8 ? 2 : 1, exit = 2 * middle;
  const Spacing dilated{.dilation = middle}, strided{.stride = 2};
  const auto conv = [&](int number, Var in, std::int64_t out, std::int64_t stride) {
    return relu(batch_norm(
        m[str_cat("bn", number)],
        conv2d(m[str_cat("conv", number)], in, {.out = m.channels(out), .kernel = 3, .stride = stride})));
  };
  // Entry flow.
  x = conv(2, conv(1, x, 32, 2), 64, 1);
  x = block(m["block1"], x, {{128, 128, 128}, {{{}, {}, strided}}, false});
  const Var low = relu(x);
  x = block(m["block2"], low, {{256, 256, 256}, {{{}, {}, strided}}, false});
  x = block(m["block3"], x, {{728, 728, 728}, {{{}, {}, output_stride == 8 ? Spacing{} : strided}}});
  // Middle flow.
  for (int i = 4; i <= 19; ++i)
    x = block(m[str_cat("block", i)], x, {{728, 728, 728}, {{dilated, dilated, dilated}}});
  // Exit flow.
  x = relu(block(m["block20"], x, {{728, 1024, 1024}, {{dilated, dilated, {}}}}));
  const std::int64_t widths[] = {1536, 1536, 2048};
  for (int i = 0; i < 3; ++i)
    x = relu(batch_norm(
        m[str_cat("bn", i + 3)],
        separable_conv2d(m[str_cat("conv", i + 3)], x, m.channels(widths[i]), {.dilation = exit})));
  return {low, x};
}

}  // namespace atrous
