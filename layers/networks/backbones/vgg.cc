#include "layers/networks/backbones/vgg.h"

#include "layers/base/error.h"

namespace atrous {

namespace {

struct Stage {
  int convolutions;
  std::int64_t channels;
};
constexpr std::array<Stage, 5> stages{{{2, 64}, {2, 128}, {3, 256}, {3, 512}, {3, 512}}};

}  // namespace

VggFeatures vgg16(Module m, Var x, const VggOptions& options) {
  VggFeatures features{.pools = {x, x, x, x, x}};
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const bool keeps_size = options.dilated && i >= 3, last = i + 1 == stages.size();
    for (int k = 1; k <= stages[i].convolutions; ++k)
      x = relu(conv2d(m[str_cat("conv", i + 1, '_', k)], x,
                      {.out = m.channels(stages[i].channels),
                       .kernel = 3,
                       .padding = i == 0 && k == 1 ? options.first_padding : same_padding,
                       .dilation = options.dilated && last ? 2 : 1,
                       .bias = true}));
    x = max_pool2d(m[str_cat("pool", i + 1)].path(), x,
                   keeps_size ? MaxPool2d{.kernel = 3, .stride = 1, .padding = 1}
                              : MaxPool2d{.kernel = 2, .stride = 2, .ceil_mode = true});
    features.pools[i] = x;
  }
  return features;
}

}  // namespace atrous
