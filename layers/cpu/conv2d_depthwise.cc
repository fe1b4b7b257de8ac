#include "layers/cpu/conv2d_depthwise.h"

#include <algorithm>

#include "layers/checked.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layers/cpu/conv2d_depthwise.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep

#include "hwy/highway.h"
#include "layers/cpu/activation-inl.h"
#include "layers/cpu/dispatch.h"

#ifndef ATROUS_CONV2D_DEPTHWISE_ROW
#define ATROUS_CONV2D_DEPTHWISE_ROW
namespace atrous {

// What all targets share: one row of output pixels.
struct DepthwiseRow {
  const Conv2d& layer;
  const float* weights;  // [kernel_h][kernel_w][channels]
  const float* bias;     // [channels]
  ConstView in;
  const ConstView* residual;  // or null
  View out;
  std::int64_t n, y;
};

// The taps [first, last) of a kernel's row or column that lie inside the picture; first = last where none
// does.
struct TapRange {
  std::int64_t first, last;
};
inline TapRange taps_inside(const Conv2d& layer, std::int64_t taps, std::int64_t out, std::int64_t in_size) {
  const std::int64_t at = out * layer.stride - layer.padding;
  const auto taps_before = [&](std::int64_t end) {
    return end <= at ? 0 : std::min((end - at + layer.dilation - 1) / layer.dilation, taps);
  };
  return {taps_before(0), taps_before(in_size)};
}

}  // namespace atrous
#endif

HWY_BEFORE_NAMESPACE();
namespace atrous {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// Residual, activation and store of one vector.
template <class D, class V = hn::Vec<D>>
HWY_INLINE void finish(D d, const DepthwiseRow& r, std::int64_t x, std::int64_t c, V sum) {
  if (r.residual) sum = hn::Add(sum, hn::LoadU(d, r.residual->pixel(r.n, r.y, x) + c));
  hn::StoreU(activate(d, r.layer.activation, sum), d, r.out.pixel(r.n, r.y, x) + c);
}

// Pixels [x, x + kPixels) of the row, kVectors vectors of channels from c on, taps [first_kx, last_kx) of
// every kernel row: these lie inside the picture for all of the pixels.
template <int kPixels, int kVectors, class D>
HWY_INLINE void block(D d, const DepthwiseRow& r, std::int64_t x, std::int64_t c, TapRange rows,
                      TapRange columns) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const Conv2d& layer = r.layer;
  const std::int64_t channels = r.out.shape.c, kernel_w = layer.weight.kernel_w;
  const std::int64_t to_next_pixel = layer.stride * r.in.pitch, to_next_tap = layer.dilation * r.in.pitch;
  const std::int64_t in_x = x * layer.stride - layer.padding + columns.first * layer.dilation;

  hn::Vec<D> sum[kPixels][kVectors];
  for (int v = 0; v < kVectors; ++v) {
    const auto bias = hn::LoadU(d, r.bias + c + v * lanes);
    for (int p = 0; p < kPixels; ++p) sum[p][v] = bias;
  }
  for (std::int64_t ky = rows.first; ky < rows.last; ++ky) {
    const std::int64_t in_y = r.y * layer.stride - layer.padding + ky * layer.dilation;
    const float* HWY_RESTRICT in = r.in.pixel(r.n, in_y, in_x) + c;
    const float* HWY_RESTRICT weight = r.weights + (ky * kernel_w + columns.first) * channels + c;
    for (std::int64_t kx = columns.first; kx < columns.last; ++kx) {
      for (int v = 0; v < kVectors; ++v) {
        const auto w = hn::LoadU(d, weight + v * lanes);
        for (int p = 0; p < kPixels; ++p)
          sum[p][v] = hn::MulAdd(hn::LoadU(d, in + p * to_next_pixel + v * lanes), w, sum[p][v]);
      }
      in += to_next_tap;
      weight += channels;
    }
  }
  for (int p = 0; p < kPixels; ++p)
    for (int v = 0; v < kVectors; ++v) finish(d, r, x + p, c + v * lanes, sum[p][v]);
}

// The same for one vector of a kernel whose width, stride and dilation are known: every input pixel of a row
// is loaded once and meets all the taps that it lies under.
template <int kWidth, int kStride, int kDilation, int kPixels, class D>
HWY_INLINE void sliding_block(D d, const DepthwiseRow& r, std::int64_t x, std::int64_t c, TapRange rows) {
  constexpr int kInputs = (kPixels - 1) * kStride + (kWidth - 1) * kDilation + 1;
  const std::int64_t channels = r.out.shape.c, in_x = x * kStride - r.layer.padding;
  hn::Vec<D> sum[kPixels];
  for (int p = 0; p < kPixels; ++p) sum[p] = hn::LoadU(d, r.bias + c);
  for (std::int64_t ky = rows.first; ky < rows.last; ++ky) {
    const float* HWY_RESTRICT in =
        r.in.pixel(r.n, r.y * kStride - r.layer.padding + ky * kDilation, in_x) + c;
    hn::Vec<D> weight[kWidth];
    for (int kx = 0; kx < kWidth; ++kx)
      weight[kx] = hn::LoadU(d, r.weights + (ky * kWidth + kx) * channels + c);
    HWY_UNROLL(32)
    for (int i = 0; i < kInputs; ++i, in += r.in.pitch) {
      const auto pixel = hn::LoadU(d, in);
      for (int kx = 0; kx < kWidth; ++kx) {
        const int from_first = i - kx * kDilation;
        if (from_first < 0 || from_first % kStride != 0 || from_first / kStride >= kPixels) continue;
        sum[from_first / kStride] = hn::MulAdd(pixel, weight[kx], sum[from_first / kStride]);
      }
    }
  }
  for (int p = 0; p < kPixels; ++p) finish(d, r, x + p, c, sum[p]);
}

// Calls body(c, number of vectors) over all channels, kVectors vectors at a time while they last. The last
// vector ends with the last channel, and may do some channels a second time.
template <int kVectors, class D, class Body>
HWY_INLINE void over_channels(D d, std::int64_t channels, Body&& body) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t c = 0;
  for (; c + kVectors * lanes <= channels; c += kVectors * lanes)
    body(c, std::integral_constant<int, kVectors>());
  for (; c < channels; c += lanes) body(std::min(c, channels - lanes), std::integral_constant<int, 1>());
}

// Pixels [first, last), which see all taps of their rows; there are at least `fewest`.
constexpr int fewest = 4;

template <int kWidth, int kStride, int kDilation, class D>
void run_sliding(D d, const DepthwiseRow& r, std::int64_t first, std::int64_t last, TapRange rows) {
  over_channels<1>(d, r.out.shape.c, [&](std::int64_t c, auto) HWY_ATTR {
    std::int64_t x = first;
    for (; x + 8 <= last; x += 8) sliding_block<kWidth, kStride, kDilation, 8>(d, r, x, c, rows);
    for (; x < last; x += fewest)
      sliding_block<kWidth, kStride, kDilation, fewest>(d, r, std::min(x, last - fewest), c, rows);
  });
}

template <class D>
void run_any(D d, const DepthwiseRow& r, std::int64_t first, std::int64_t last, TapRange rows) {
  over_channels<2>(d, r.out.shape.c, [&](std::int64_t c, auto vectors) HWY_ATTR {
    for (std::int64_t x = first; x < last; x += fewest)
      block<fewest, vectors>(d, r, std::min(x, last - fewest), c, rows, {0, r.layer.weight.kernel_w});
  });
}

template <class D>
void run_inner(D d, const DepthwiseRow& r, std::int64_t first, std::int64_t last, TapRange rows) {
  const Conv2d& l = r.layer;
  const auto is = [&](std::int64_t width, std::int64_t stride, std::int64_t dilation) {
    return l.weight.kernel_w == width && l.stride == stride && l.dilation == dilation;
  };
  if (is(3, 1, 1)) return run_sliding<3, 1, 1>(d, r, first, last, rows);
  if (is(3, 2, 1)) return run_sliding<3, 2, 1>(d, r, first, last, rows);
  if (is(5, 1, 1)) return run_sliding<5, 1, 1>(d, r, first, last, rows);
  if (is(5, 2, 1)) return run_sliding<5, 2, 1>(d, r, first, last, rows);
  if (is(5, 1, 2)) return run_sliding<5, 1, 2>(d, r, first, last, rows);
  run_any(d, r, first, last, rows);
}

// Needs at least as many channels as D has lanes.
template <class D>
void run_row(D d, const DepthwiseRow& r) {
  const Conv2d& layer = r.layer;
  const std::int64_t width = r.out.shape.w, taps = layer.weight.kernel_w;
  // Pixels [first, last) see all taps; those beside them see some in the padding.
  const std::int64_t room = r.in.shape.w - 1 - (taps - 1) * layer.dilation + layer.padding;
  std::int64_t first = std::min((layer.padding + layer.stride - 1) / layer.stride, width);
  std::int64_t last = room < 0 ? 0 : std::min(room / layer.stride + 1, width);
  if (last - first < fewest) first = last = width;

  const TapRange rows = taps_inside(layer, layer.weight.kernel_h, r.y, r.in.shape.h);
  const auto one_by_one = [&](std::int64_t from, std::int64_t to) HWY_ATTR {
    for (std::int64_t x = from; x < to; ++x) {
      const TapRange columns = taps_inside(layer, taps, x, r.in.shape.w);
      const TapRange seen = columns.first < columns.last ? rows : TapRange{0, 0};
      over_channels<4>(d, r.out.shape.c, [&](std::int64_t c, auto vectors) HWY_ATTR {
        block<1, vectors>(d, r, x, c, seen, columns);
      });
    }
  };
  one_by_one(0, first);
  if (first < last) run_inner(d, r, first, last, rows);
  one_by_one(last, width);
}

}  // namespace

void depthwise_row(const DepthwiseRow& r) {
  const hn::ScalableTag<float> wide;
  const hn::CappedTag<float, 4> half;
  const hn::CappedTag<float, 1> narrow;
  if (r.out.shape.c >= static_cast<std::int64_t>(hn::Lanes(wide)))
    run_row(wide, r);
  else if (r.out.shape.c >= static_cast<std::int64_t>(hn::Lanes(half)))
    run_row(half, r);
  else
    run_row(narrow, r);
}

}  // namespace HWY_NAMESPACE
}  // namespace atrous
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace atrous {

namespace {

class DepthwiseConv2d final : public Kernel {
 public:
  DepthwiseConv2d(const Conv2d& layer, Isa isa) : layer_(layer), row_(ATROUS_FOR_ISA(isa, depthwise_row)) {
    const std::int64_t channels = layer.out_channels(), taps = layer.weight.kernel_h * layer.weight.kernel_w;
    weights_ = Tensor({1, 1, taps, channels});
    bias_ = Tensor::zeros({1, 1, 1, channels});
    for (std::int64_t tap = 0; tap < taps; ++tap)
      for (std::int64_t c = 0; c < channels; ++c)
        weights_.data()[tap * channels + c] = layer.weight.data.get()[c * taps + tap];
    if (layer.bias) std::copy_n(layer.bias.get(), channels, bias_.data());
    layer_.weight.data.reset();
    layer_.bias.reset();
  }

  std::string_view name() const override { return "depthwise"; }
  std::size_t packed_bytes() const override {
    return weights_.values().size_bytes() + bias_.values().size_bytes();
  }

  void run(const KernelCall& call) const override {
    const ConstView in = call.inputs[0];
    const Shape& out = call.output.shape;
#pragma omp parallel for num_threads(call.threads) schedule(static)
    for (std::int64_t row = 0; row < out.n * out.h; ++row)
      row_({.layer = layer_,
            .weights = weights_.data(),
            .bias = bias_.data(),
            .in = in,
            .residual = call.inputs.size() > 1 ? &call.inputs[1] : nullptr,
            .out = call.output,
            .n = row / out.h,
            .y = row % out.h});
  }

 private:
  Conv2d layer_;  // without its weights, which are packed
  Tensor weights_, bias_;
  decltype(&ATROUS_BASELINE::depthwise_row) row_;
};

}  // namespace

std::unique_ptr<Kernel> make_conv2d_depthwise(const Conv2d& layer, Isa isa) {
  if (layer.groups != layer.in_channels() || layer.groups != layer.out_channels()) return nullptr;
  return std::make_unique<DepthwiseConv2d>(layer, isa);
}

}  // namespace atrous
#endif
