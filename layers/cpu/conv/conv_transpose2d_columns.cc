#include "layers/cpu/conv/conv_transpose2d_columns.h"

#include <algorithm>
#include <vector>

#include "layers/base/checked.h"
#include "layers/cpu/conv/conv2d_implicit_gemm.h"
#include "layers/cpu/conv/conv2d_pointwise.h"
#include "layers/cpu/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layers/cpu/conv/conv_transpose2d_columns.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep

#include "hwy/highway.h"
#include "layers/cpu/dispatch.h"

HWY_BEFORE_NAMESPACE();
namespace atrous {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// sum[i] += more[i]
void add_floats(const float* more, std::int64_t count, float* sum) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes)
    hn::StoreU(hn::Add(hn::LoadU(d, sum + i), hn::LoadU(d, more + i)), d, sum + i);
  for (; i < count; ++i) sum[i] += more[i];
}

}  // namespace HWY_NAMESPACE
}  // namespace atrous
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace atrous {

namespace {

class Columns final : public Kernel {
 public:
  Columns(const ConvTranspose2d& layer, Isa isa, int threads)
      : padding_(layer.padding),
        taps_w_(layer.weight.kernel_w),
        channels_(layer.weight.d1),
        bias_(static_cast<std::size_t>(channels_)),
        add_floats_(ATROUS_FOR_ISA(isa, add_floats)) {
    if (layer.bias) std::copy_n(layer.bias.get(), channels_, bias_.begin());
    for (std::int64_t ky = 0; ky < layer.weight.kernel_h; ++ky) {
      const Conv2d conv = row_of_taps(layer, ky, threads);
      rows_.push_back(make_conv2d_pointwise(conv, isa, threads));
      if (!rows_.back())
        rows_.back() = make_conv2d_implicit_gemm(std::make_shared<const PackedConv2d>(conv, isa, threads));
    }
  }

  std::string_view name() const override { return "columns"; }
  std::size_t packed_bytes() const override {
    std::size_t bytes = bias_.size() * sizeof(float);
    for (const auto& row : rows_) bytes += row->packed_bytes();
    return bytes;
  }
  // The columns of one row of taps for one image, then what their kernel works in.
  std::size_t workspace_bytes(std::span<const Shape> in, const Shape&, int threads) const override {
    return checked_add(column_bytes(in[0]), inner_bytes(in[0], threads), "conv_transpose2d: workspace");
  }

  void run(const KernelCall& call) const override {
    const Shape& in = call.inputs[0].shape;
    const View out = call.output;
    const View columns{reinterpret_cast<float*>(call.workspace.data()), columns_of(in), taps_w_ * channels_};
    const std::span<std::byte> rest = call.workspace.subspan(column_bytes(in), inner_bytes(in, call.threads));
    for (std::int64_t n = 0; n < in.n; ++n) {
      parallel_for(call.threads, out.shape.h * out.shape.w, [&](std::int64_t p) {
        std::copy_n(bias_.data(), channels_, out.pixel(n, p / out.shape.w, p % out.shape.w));
      });
      const ConstAnyView inputs[] = {any_view(image_of(call.in(0), n))};
      for (std::size_t ky = 0; ky < rows_.size(); ++ky) {
        rows_[ky]->run({inputs, any_view(columns), rest, call.threads});
        const std::int64_t down = static_cast<std::int64_t>(ky) - padding_;
        parallel_for(call.threads, in.h, [&](std::int64_t y) {
          const std::int64_t to = y + down;
          if (to >= 0 && to < out.shape.h) add_row(columns, y, out, n, to);
        });
      }
    }
  }

 private:
  // A 1x1 convolution whose outputs are [kx, o]. Transposed in blocks of `together` inputs: a cache line of
  // weights holds all taps of a row, one of the result as many inputs.
  static Conv2d row_of_taps(const ConvTranspose2d& layer, std::int64_t ky, int threads) {
    const Filter& w = layer.weight;
    const std::int64_t outputs = checked_multiply(w.kernel_w, w.d1, "conv_transpose2d: outputs of a row");
    std::shared_ptr<float[]> weight(
        new float[static_cast<std::size_t>(checked_multiply(outputs, w.d0, "conv_transpose2d: weights"))]);
    parallel_for(threads, w.d1, [&](std::int64_t o) {
      constexpr std::int64_t together = 16;
      for (std::int64_t first = 0; first < w.d0; first += together)
        for (std::int64_t kx = 0; kx < w.kernel_w; ++kx)
          for (std::int64_t i = first; i < std::min(first + together, w.d0); ++i)
            weight[(kx * w.d1 + o) * w.d0 + i] = w.at(i, o, ky, kx);
    });
    return {.weight = {outputs, w.d0, 1, 1, {weight, weight.get()}}, .bias = nullptr};
  }

  Shape columns_of(const Shape& in) const { return {1, in.h, in.w, taps_w_ * channels_}; }
  std::size_t column_bytes(const Shape& in) const {
    const std::size_t bytes = checked_multiply(static_cast<std::size_t>(checked_elements(columns_of(in))),
                                               sizeof(float), "conv_transpose2d: workspace");
    return checked_add(bytes, std::size_t{63}, "conv_transpose2d: workspace") / 64 * 64;
  }
  std::size_t inner_bytes(const Shape& in, int threads) const {
    const Shape shapes[] = {{1, in.h, in.w, in.c}};
    std::size_t most = 0;
    for (const auto& row : rows_)
      most = std::max(most, row->workspace_bytes(shapes, columns_of(in), threads));
    return most;
  }

  // Adds input row y's columns to row `to` of the output, in the order of the taps.
  void add_row(const View& columns, std::int64_t y, const View& out, std::int64_t n, std::int64_t to) const {
    for (std::int64_t kx = 0; kx < taps_w_; ++kx)
      for (std::int64_t x = 0; x < columns.shape.w; ++x) {
        const std::int64_t to_x = x + kx - padding_;
        if (to_x >= 0 && to_x < out.shape.w)
          add_floats_(columns.pixel(0, y, x) + kx * channels_, channels_, out.pixel(n, to, to_x));
      }
  }

  std::int64_t padding_, taps_w_, channels_;
  std::vector<float> bias_;
  std::vector<std::unique_ptr<Kernel>> rows_;  // of taps
  decltype(&ATROUS_BASELINE::add_floats) add_floats_;
};

}  // namespace

std::unique_ptr<Kernel> make_conv_transpose2d_columns(const ConvTranspose2d& layer, Isa isa, int threads) {
  const bool grows = 2 * layer.padding < std::min(layer.weight.kernel_h, layer.weight.kernel_w) - 1;
  if (layer.groups != 1 || layer.dilation != 1 || layer.stride != 1 || layer.output_padding != 0 || !grows)
    return nullptr;
  return std::make_unique<Columns>(layer, isa, threads);
}

}  // namespace atrous
#endif
