#include "layers/cpu/conv/conv_transpose2d_subpixel.h"

#include <algorithm>
#include <vector>

#include "layers/base/checked.h"
#include "layers/cpu/conv/conv2d_implicit_gemm.h"
#include "layers/cpu/conv/conv2d_pointwise.h"
#include "layers/cpu/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layers/cpu/conv/conv_transpose2d_subpixel.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep

#include "hwy/highway.h"
#include "layers/cpu/dispatch.h"

HWY_BEFORE_NAMESPACE();
namespace atrous {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// out[c] = bias[c] + sum over taps of in[tap][c] * weight[tap][c]
void sum_taps(const float* const* in, const float* const* weight, std::int64_t taps, const float* bias,
              std::int64_t channels, float* out) {
  const auto run = [&](auto d, std::int64_t c) HWY_ATTR {
    auto sum = hn::LoadU(d, bias + c);
    for (std::int64_t t = 0; t < taps; ++t)
      sum = hn::MulAdd(hn::LoadU(d, in[t] + c), hn::LoadU(d, weight[t] + c), sum);
    hn::StoreU(sum, d, out + c);
  };
  const hn::ScalableTag<float> wide;
  const hn::CappedTag<float, 1> narrow;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(wide));
  std::int64_t c = 0;
  for (; c + lanes <= channels; c += lanes) run(wide, c);
  for (; c < channels; ++c) run(narrow, c);
}

}  // namespace HWY_NAMESPACE
}  // namespace atrous
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace atrous {

namespace {

std::int64_t aligned_floats(std::int64_t floats) { return round_up(floats, 16); }

class Subpixel final : public Kernel {
 public:
  Subpixel(const ConvTranspose2d& layer, Isa isa, int threads)
      : stride_(layer.stride), padding_(layer.padding), channels_(layer.out_channels()) {
    const Conv2d conv = as_convolution(layer);
    kernel_ = make_conv2d_pointwise(conv, isa, threads);
    if (!kernel_)
      kernel_ = make_conv2d_implicit_gemm(std::make_shared<const PackedConv2d>(conv, isa, threads));
    taps_h_ = conv.weight.kernel_h;
    taps_w_ = conv.weight.kernel_w;
  }

  std::string_view name() const override { return "subpixel"; }
  std::size_t packed_bytes() const override { return kernel_->packed_bytes(); }
  std::size_t workspace_bytes(std::span<const Shape> in, const Shape& out, int threads) const override {
    return checked_multiply(bytes_of(bands_of(in[0], out)), static_cast<std::size_t>(threads),
                            "conv_transpose2d: workspace");
  }

  void run(const KernelCall& call) const override {
    const ConstView in = call.inputs[0];
    const Bands bands = bands_of(in.shape, call.output.shape);
    const std::int64_t count = divide_up(bands.rows, bands.height);
    parallel_tasks(call.threads, in.shape.n * count, [&](std::int64_t task, int thread) {
      run_band(call, bands, task / count, task % count * bands.height,
               call.workspace.data() + static_cast<std::size_t>(thread) * bytes_of(bands));
    });
  }

 private:
  // q runs over `rows` x `columns` squares from first_row and first_column on.
  struct Bands {
    std::int64_t first_row, rows, first_column, columns;
    std::int64_t height;  // rows of a band
    Shape read, squares;  // of a whole band: the input under it, and what the convolution makes of that
  };

  // [phase row][phase column][out channel], [in channel], taps from the furthest input to the nearest.
  static Conv2d as_convolution(const ConvTranspose2d& layer) {
    const Filter& w = layer.weight;
    const std::int64_t s = layer.stride, out = w.d1, in = w.d0;
    const std::int64_t taps_h = divide_up(w.kernel_h, s), taps_w = divide_up(w.kernel_w, s);
    const std::int64_t outputs = checked_product({s, s, out}, "conv_transpose2d: outputs of a square");
    const auto floats =
        static_cast<std::size_t>(checked_product({outputs, in, taps_h, taps_w}, "conv_transpose2d: weights"));
    std::shared_ptr<float[]> weight(new float[floats]());
    std::shared_ptr<float[]> bias(new float[static_cast<std::size_t>(outputs)]());
    for (std::int64_t phase = 0; phase < s * s; ++phase)
      for (std::int64_t o = 0; o < out; ++o) {
        if (layer.bias) bias[phase * out + o] = layer.bias.get()[o];
        for (std::int64_t i = 0; i < in; ++i)
          for (std::int64_t ty = 0; ty < taps_h; ++ty)
            for (std::int64_t tx = 0; tx < taps_w; ++tx) {
              const std::int64_t ky = phase / s + s * (taps_h - 1 - ty),
                                 kx = phase % s + s * (taps_w - 1 - tx);
              if (ky < w.kernel_h && kx < w.kernel_w)
                weight[(((phase * out + o) * in + i) * taps_h + ty) * taps_w + tx] = w.at(i, o, ky, kx);
            }
      }
    return {.weight = {outputs, in, taps_h, taps_w, {weight, weight.get()}}, .bias = {bias, bias.get()}};
  }

  Bands bands_of(const Shape& in, const Shape& out) const {
    constexpr std::int64_t pixels = 192;  // what a task of the matrix product takes at a time
    Bands b;
    b.first_row = b.first_column = padding_ / stride_;
    b.rows = (out.h - 1 + padding_) / stride_ - b.first_row + 1;
    b.columns = (out.w - 1 + padding_) / stride_ - b.first_column + 1;
    b.height = std::min(b.rows, divide_up(pixels, b.columns));
    b.read = {1, b.height + taps_h_ - 1, b.columns + taps_w_ - 1, in.c};
    b.squares = {1, b.height, b.columns, stride_ * stride_ * channels_};
    return b;
  }

  std::size_t bytes_of(const Bands& b) const {
    const std::int64_t floats =
        checked_add(aligned_floats(checked_elements(b.read)), aligned_floats(checked_elements(b.squares)),
                    "conv_transpose2d: workspace");
    const Shape shapes[] = {b.read};
    return checked_add(static_cast<std::size_t>(floats) * sizeof(float),
                       round_up_bytes(kernel_->workspace_bytes(shapes, b.squares, 1)),
                       "conv_transpose2d: workspace");
  }
  static std::size_t round_up_bytes(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

  void run_band(const KernelCall& call, const Bands& bands, std::int64_t n, std::int64_t first,
                std::byte* memory) const {
    const ConstView in = call.inputs[0];
    const View out = call.output;
    const std::int64_t rows = std::min(bands.height, bands.rows - first);
    const View read{
        reinterpret_cast<float*>(memory), {1, rows + taps_h_ - 1, bands.read.w, bands.read.c}, bands.read.c};
    const View squares{read.data + aligned_floats(bands.read.pixels() * bands.read.c),
                       {1, rows, bands.columns, bands.squares.c},
                       bands.squares.c};
    std::byte* rest =
        reinterpret_cast<std::byte*>(squares.data + aligned_floats(bands.squares.pixels() * bands.squares.c));

    const std::int64_t top = bands.first_row + first - (taps_h_ - 1),
                       left = bands.first_column - (taps_w_ - 1);
    for (std::int64_t y = 0; y < read.shape.h; ++y)
      for (std::int64_t x = 0; x < read.shape.w; ++x) {
        const std::int64_t in_y = top + y, in_x = left + x;
        const bool inside = in_y >= 0 && in_y < in.shape.h && in_x >= 0 && in_x < in.shape.w;
        if (inside)
          std::copy_n(in.pixel(n, in_y, in_x), in.shape.c, read.pixel(0, y, x));
        else
          std::fill_n(read.pixel(0, y, x), in.shape.c, 0.f);
      }

    const ConstAnyView inputs[] = {any_view(read)};
    const Shape shapes[] = {read.shape};
    kernel_->run({inputs, any_view(squares), {rest, kernel_->workspace_bytes(shapes, squares.shape, 1)}, 1});

    for (std::int64_t y = 0; y < rows; ++y)
      for (std::int64_t phase_y = 0; phase_y < stride_; ++phase_y) {
        const std::int64_t out_y = stride_ * (bands.first_row + first + y) + phase_y - padding_;
        if (out_y < 0 || out_y >= out.shape.h) continue;
        for (std::int64_t x = 0; x < bands.columns; ++x)
          for (std::int64_t phase_x = 0; phase_x < stride_; ++phase_x) {
            const std::int64_t out_x = stride_ * (bands.first_column + x) + phase_x - padding_;
            if (out_x < 0 || out_x >= out.shape.w) continue;
            std::copy_n(squares.pixel(0, y, x) + (phase_y * stride_ + phase_x) * channels_, channels_,
                        out.pixel(n, out_y, out_x));
          }
      }
  }

  std::int64_t stride_, padding_, channels_, taps_h_ = 1, taps_w_ = 1;
  std::unique_ptr<Kernel> kernel_;
};

class Depthwise final : public Kernel {
 public:
  Depthwise(const ConvTranspose2d& layer, Isa isa) : layer_(layer), sum_taps_(ATROUS_FOR_ISA(isa, sum_taps)) {
    const Filter& w = layer.weight;
    weight_.resize(static_cast<std::size_t>(w.elements()));
    bias_.resize(static_cast<std::size_t>(w.d0));
    for (std::int64_t c = 0; c < w.d0; ++c) {
      if (layer.bias) bias_[static_cast<std::size_t>(c)] = layer.bias.get()[c];
      for (std::int64_t tap = 0; tap < w.kernel_h * w.kernel_w; ++tap)
        weight_[static_cast<std::size_t>(tap * w.d0 + c)] = w.at(c, 0, tap / w.kernel_w, tap % w.kernel_w);
    }
    layer_.weight.data.reset();
    layer_.bias.reset();
  }

  std::string_view name() const override { return "depthwise"; }
  std::size_t packed_bytes() const override { return (weight_.size() + bias_.size()) * sizeof(float); }
  std::size_t workspace_bytes(std::span<const Shape>, const Shape&, int threads) const override {
    return static_cast<std::size_t>(2 * threads * most_taps()) * sizeof(const float*);
  }

  void run(const KernelCall& call) const override {
    const ConstView in = call.inputs[0];
    const View out = call.output;
    const Filter& w = layer_.weight;
    parallel_tasks(call.threads, out.shape.n * out.shape.h, [&](std::int64_t row, int thread) {
      auto** pixels = reinterpret_cast<const float**>(call.workspace.data()) + 2 * thread * most_taps();
      const float** weights = pixels + most_taps();
      const std::int64_t n = row / out.shape.h, y = row % out.shape.h + layer_.padding;
      for (std::int64_t x = 0; x < out.shape.w; ++x) {
        std::int64_t taps = 0;
        const std::int64_t at = x + layer_.padding;
        for (std::int64_t ky = y % layer_.stride; ky < w.kernel_h; ky += layer_.stride) {
          const std::int64_t in_y = (y - ky) / layer_.stride;
          if (y < ky || in_y >= in.shape.h) continue;
          for (std::int64_t kx = at % layer_.stride; kx < w.kernel_w; kx += layer_.stride) {
            const std::int64_t in_x = (at - kx) / layer_.stride;
            if (at < kx || in_x >= in.shape.w) continue;
            pixels[taps] = in.pixel(n, in_y, in_x);
            weights[taps++] = weight_.data() + (ky * w.kernel_w + kx) * w.d0;
          }
        }
        sum_taps_(pixels, weights, taps, bias_.data(), w.d0, out.pixel(n, row % out.shape.h, x));
      }
    });
  }

 private:
  // That reach one output.
  std::int64_t most_taps() const {
    return divide_up(layer_.weight.kernel_h, layer_.stride) *
           divide_up(layer_.weight.kernel_w, layer_.stride);
  }

  ConvTranspose2d layer_;             // without its weights
  std::vector<float> weight_, bias_;  // [ky][kx][channel]
  decltype(&ATROUS_BASELINE::sum_taps) sum_taps_;
};

}  // namespace

std::unique_ptr<Kernel> make_conv_transpose2d_subpixel(const ConvTranspose2d& layer, Isa isa, int threads) {
  if (layer.groups != 1 || layer.dilation != 1) return nullptr;
  return std::make_unique<Subpixel>(layer, isa, threads);
}

std::unique_ptr<Kernel> make_conv_transpose2d_depthwise(const ConvTranspose2d& layer, Isa isa) {
  const bool depthwise = layer.groups > 1 && layer.groups == layer.in_channels() && layer.weight.d1 == 1;
  if (!depthwise || layer.dilation != 1) return nullptr;
  return std::make_unique<Depthwise>(layer, isa);
}

}  // namespace atrous
#endif
