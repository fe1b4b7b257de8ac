#include "layers/cpu/conv/conv2d_pointwise.h"

#include <algorithm>

#include "layers/base/checked.h"
#include "layers/cpu/conv/packed_columns.h"
#include "layers/cpu/parallel.h"
#include "layers/cpu/tiles/row_tile.h"

namespace atrous {

namespace {

constexpr std::int64_t block_floats = 65536;  // of the pixels that a task reads: they stay in the L2 cache
constexpr std::int64_t block_pixels = 192;    // at most
constexpr std::int64_t enough_tasks = 8;      // with fewer blocks of pixels, tasks get fewer channels

template <class T>
BasicView<T> image(const BasicView<T>& v, std::int64_t n) {
  return {v.pixel(n, 0, 0), {1, v.shape.h, v.shape.w, v.shape.c}, v.pitch};
}

bool accepts(const Conv2d& layer) {
  const Filter& w = layer.weight;
  return w.kernel_h == 1 && w.kernel_w == 1 && layer.stride == 1 && layer.padding == 0 && layer.groups == 1;
}

struct Pointwise {
  Pointwise(const Conv2d& layer, Isa isa, int threads)
      : tiles(row_tiles(isa)), activation(layer.activation), columns(layer, tiles, threads) {}

  // Of all pixels of all images; a residual that is repeated over its image needs them one by one. `weights`
  // are the packed ones or a copy of them that was changed.
  void run(ConstView in, const float* weights, const ConstView* residual, View out, int threads) const {
    const std::int64_t pixels = in.shape.pixels();
    // Multiples of 24, which every tile divides.
    const std::int64_t most = std::clamp(block_floats / in.shape.c / 24 * 24, std::int64_t{24}, block_pixels);
    const std::int64_t block = std::min(most, divide_up(divide_up(pixels, enough_tasks), 24) * 24);
    const std::int64_t blocks = divide_up(pixels, block),
                       groups = static_cast<std::int64_t>(columns.groups().size()),
                       parts = std::min(groups, divide_up(enough_tasks, blocks));
    const std::int64_t step = residual ? residual_pitch(*residual, out.shape) : 0;
    parallel_tasks(threads, blocks * parts, [&](std::int64_t task, int) {
      const std::int64_t first = task / parts * block, count = std::min(block, pixels - first),
                         part = task % parts;
      for (std::int64_t g = groups * part / parts; g < groups * (part + 1) / parts; ++g) {
        const PackedColumns::Group& group = columns.groups()[static_cast<std::size_t>(g)];
        tiles.run({.a = in.data + first * in.pitch,
                   .a_pitch = in.pitch,
                   .depth = in.shape.c,
                   .b = weights + columns.offset(group),
                   .bias = columns.bias(group),
                   .c = out.data + first * out.pitch + group.first,
                   .c_pitch = out.pitch,
                   .residual = residual ? residual->data + first * step + group.first : nullptr,
                   .residual_pitch = step,
                   .columns = group.columns,
                   .activation = activation},
                  group.vectors, count);
      }
    });
  }

  RowTiles tiles;
  ActivationKind activation;
  PackedColumns columns;
};

class PointwiseConv2d final : public Kernel {
 public:
  PointwiseConv2d(const Conv2d& layer, Isa isa, int threads) : pointwise_(layer, isa, threads) {}
  std::string_view name() const override { return "pointwise"; }
  std::size_t packed_bytes() const override { return pointwise_.columns.bytes(); }

  void run(const KernelCall& call) const override {
    const ConstView in = call.inputs[0];
    const float* weights = pointwise_.columns.weights();
    if (call.inputs.size() == 1 || call.inputs[1].shape == call.output.shape) {
      const bool has_residual = call.inputs.size() > 1;
      const ConstView residual = has_residual ? call.in(1) : ConstView{};
      return pointwise_.run(in, weights, has_residual ? &residual : nullptr, call.output, call.threads);
    }
    for (std::int64_t n = 0; n < in.shape.n; ++n) {
      const ConstView residual = image(call.in(1), n);
      pointwise_.run(image(in, n), weights, &residual, image(call.out(), n), call.threads);
    }
  }

 private:
  Pointwise pointwise_;
};

// Multiplies the weights by each image's gate: there are far fewer of them than numbers in the map.
class GatedPointwiseConv2d final : public Kernel {
 public:
  GatedPointwiseConv2d(const Conv2d& layer, Isa isa, int threads) : pointwise_(layer, isa, threads) {}
  std::string_view name() const override { return "pointwise"; }
  std::size_t packed_bytes() const override { return pointwise_.columns.bytes(); }

  std::size_t workspace_bytes(std::span<const Shape>, const Shape&, int) const override {
    return pointwise_.columns.weight_bytes();
  }

  void run(const KernelCall& call) const override {
    auto* weights = reinterpret_cast<float*>(call.workspace.data());
    for (std::int64_t n = 0; n < call.output.shape.n; ++n) {
      pointwise_.columns.scale(call.in(1).pixel(n, 0, 0), weights);
      const bool has_residual = call.inputs.size() > 2;
      const ConstView residual = has_residual ? image(call.in(2), n) : ConstView{};
      pointwise_.run(image(call.in(0), n), weights, has_residual ? &residual : nullptr, image(call.out(), n),
                     call.threads);
    }
  }

 private:
  Pointwise pointwise_;
};

}  // namespace

std::unique_ptr<Kernel> make_conv2d_pointwise(const Conv2d& layer, Isa isa, int threads) {
  return accepts(layer) ? std::make_unique<PointwiseConv2d>(layer, isa, threads) : nullptr;
}

std::unique_ptr<Kernel> make_gated_conv2d_pointwise(const GatedConv2d& layer, Isa isa, int threads) {
  return accepts(layer.conv) ? std::make_unique<GatedPointwiseConv2d>(layer.conv, isa, threads) : nullptr;
}

}  // namespace atrous
